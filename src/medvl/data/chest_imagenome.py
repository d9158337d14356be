"""Chest ImaGenome 1.0.0: changes between films, read from MIMIC-CXR's reports by rules (Wu et al. 2021; PhysioNet, credentialed).

``silver_dataset/scene_graph.zip`` (or the folder ``scene_graph``): ``<dicom_id>_SceneGraph.json`` for each frontal film. An entry of its
``relationships`` compares one anatomical box with the same box on the film before: ``relationship_names`` such as
``comparison|yes|worsened``, ``attributes`` such as ``anatomicalfinding|yes|lung opacity``, ``subject_id`` and ``object_id`` that begin with
the films' ids. Directions are ``improved``, ``worsened`` and ``no change``. Only the comparisons are read, not boxes and attributes.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile, ZipFile

from medvl.data.documents import naming
from medvl.records import Progression, Study
from medvl.runtime.errors import InvalidValue, MissingFile

FOLDER = "silver_dataset"
SUFFIX = "_SceneGraph.json"
DIRECTIONS = ("improved", "worsened", "no change")
CATEGORIES = ("anatomicalfinding", "disease")  # the others are devices, textures and the parser's own
QUALITY = "silver"


class Comparison(NamedTuple):
    """One region's change: between which films, of which findings, in which directions (one, unless the sentence names several)."""

    view_id: str
    previous_view_id: str
    region: str
    findings: tuple[str, ...]
    directions: tuple[str, ...]


def with_progression(studies: Iterable[Study], root: Path | str) -> Iterator[Study]:
    """The studies of MIMIC-CXR with the silver labels of their frontal films, where there are any; labels they have win.

    ``progression`` maps ImaGenome's finding to a direction, of quality ``silver``. A finding that its regions or films see going
    different ways is left out; ``no change`` of one region gives way to a direction of another.

    Args:
        root: the folder of the release.

    Raises:
        MissingFile: if the scene graphs are not there.
        InvalidValue: naming the graph, if it is not what the release allows.
    """
    with ExitStack() as stack:
        graphs = _opened(Path(root) / FOLDER, stack)
        for study in studies:
            found = [c for view in study.views if view.is_frontal for c in _comparisons(graphs, view.view_id)]
            told = progression(found)
            yield dataclasses.replace(study, progression={**told, **study.progression}) if told else study


def progression(comparisons: Iterable[Comparison]) -> dict[str, Progression]:
    """Finding → its one direction, as ``with_progression`` has it."""
    directions: dict[str, set[str]] = {}
    for comparison in comparisons:
        for finding in comparison.findings:
            directions.setdefault(finding, set()).update(comparison.directions)
    moves = {finding: seen - {"no change"} or seen for finding, seen in directions.items()}
    return {finding: Progression(next(iter(seen)), QUALITY) for finding, seen in moves.items() if len(seen) == 1}


class _Graphs(NamedTuple):
    """Film → member, and how to read one."""

    path: Path
    members: Mapping[str, str]
    read: Callable[[str], bytes]


def _opened(folder: Path, stack: ExitStack) -> _Graphs:
    archive = folder / "scene_graph.zip"
    if archive.is_file():
        try:
            opened = stack.enter_context(ZipFile(archive))
        except (BadZipFile, OSError) as error:
            raise InvalidValue(archive, "archive", f"cannot be read ({error})") from error
        names = [name for name in opened.namelist() if name.endswith(SUFFIX) and not name.startswith("__MACOSX")]
        return _Graphs(archive, {_view_id(name): name for name in names}, opened.read)
    loose = folder / "scene_graph"
    if not loose.is_dir():
        raise MissingFile(archive, "give the folder of the Chest ImaGenome release")
    files = {_view_id(path.name): path.name for path in loose.glob(f"*{SUFFIX}")}
    return _Graphs(loose, files, lambda name: (loose / name).read_bytes())


def _view_id(name: str) -> str:
    return name.rpartition("/")[2].removesuffix(SUFFIX)


def _comparisons(graphs: _Graphs, view_id: str) -> list[Comparison]:
    """The comparisons of one film; none if it has no graph."""
    if view_id not in graphs.members:
        return []
    with naming(graphs.path, graphs.members[view_id]):
        graph = json.loads(graphs.read(graphs.members[view_id]))
        return [_comparison(relation) for relation in graph["relationships"]]


def _comparison(relation: Mapping[str, Any]) -> Comparison:
    directions = tuple(dict.fromkeys(_last(name) for name in relation["relationship_names"]))
    if unknown := [name for name in directions if name not in DIRECTIONS]:
        raise ValueError(f"the comparison {unknown[0]!r} is not one of {', '.join(DIRECTIONS)}")
    findings = tuple(dict.fromkeys(_last(name) for name in relation["attributes"] if name.split("|")[0] in CATEGORIES))
    current, previous = (relation[side].partition("_")[0] for side in ("subject_id", "object_id"))
    return Comparison(current, previous, relation["bbox_name"], findings, directions)


def _last(name: str) -> str:
    return name.split("|")[2]
