"""RadGraph F1 (Jain et al. 2021; Delbrouck et al. 2022) from given graphs: entities and relations that prediction and reference share.

A graph is an annotation of RadGraph, ``{"text", "entities": {id: {"tokens", "label", "relations": [[type, id], …]}}}``. What must agree,
each level a set (an entity said twice counts once):

    simple    (tokens, label)
    partial   … and whether it has a relation
    complete  for an entity with relations each (tokens, label, type, target's tokens) in lower case, otherwise (tokens, label)
    radcliq   the mean of the F1 of (tokens, label) and of (tokens, target's tokens, type): RadCliQ's feature

A report without an entity on either side scores 0 at the first three levels. The model that annotated belongs to the number (RadGraph and
RadGraph-XL differ), so it has to be named.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from medvl.metrics.bootstrap import Statistic, mean_of
from medvl.metrics.scores import Columns, Scores, f1_of, paired, scores
from medvl.runtime.errors import InvalidValue, MissingFile, UserError

Level = Literal["simple", "partial", "complete"]
Graph = Mapping[str, Any]
Annotator = Callable[[Sequence[str]], Sequence[Graph]]
LEVELS: tuple[Level, ...] = ("simple", "partial", "complete")


def radgraph_f1(predictions: Sequence[str], references: Sequence[str], *, annotator: Annotator, model: str) -> Scores:
    """RadGraph F1 of reports that an annotator turns into graphs. See ``graph_f1``.

    Args:
        predictions, references: N reports each.
        annotator: a RadGraph model, or ``RecordedGraphs`` of its output.
        model: the model's name, for the results (``radgraph``, ``radgraph-xl``, …).
    """
    paired("radgraph_f1", predictions, references)
    return graph_f1(annotator(predictions), annotator(references), model=model)


def graph_f1(predictions: Sequence[Graph], references: Sequence[Graph], *, model: str) -> Scores:
    """RadGraph F1 of given graphs.

    Example: predicted entities (effusion, OBS-DP) located at (left, ANAT-DP), referenced (effusion, OBS-DP) alone and (left, ANAT-DP):
    simple 1; partial shares only (left, ANAT-DP) of two: 1/2; complete likewise 1/2; radcliq (1 + 0) / 2.

    Args:
        predictions, references: N annotations each.
        model: that made them.

    Returns:
        ``simple``, ``partial``, ``complete``, ``radcliq`` (means over reports) and, ours, ``…_micro`` of the counts summed.

    Raises:
        ValueError: if the lists differ in length or are empty.
        UserError: if a graph is not of the form above.
    """
    paired("radgraph_f1", predictions, references)
    per_sample: dict[str, list[float]] = {level: [] for level in (*LEVELS, "radcliq")}
    counts: dict[str, list[float]] = {f"{level}/{count}": [] for level in LEVELS for count in ("tp", "fp", "fn")}
    for predicted, referenced in zip(predictions, references, strict=True):
        for level in LEVELS:
            said, wanted = facts(predicted, level), facts(referenced, level)
            per_sample[level].append(_f1(said, wanted))
            for count, number in zip(("tp", "fp", "fn"), (said & wanted, said - wanted, wanted - said), strict=True):
                counts[f"{level}/{count}"].append(len(number))
        entities = _f1(facts(predicted, "simple"), facts(referenced, "simple"))
        per_sample["radcliq"].append((entities + _f1(_relations(predicted), _relations(referenced))) / 2)
    return scores("radgraph_f1", per_sample, {"version": 1, "model": model}, counts=counts, aggregate=means_and_micro)


def means_and_micro(columns: Columns, protocol: Mapping[str, Any]) -> dict[str, Statistic]:
    """The mean over reports at each level, and F1 of the summed counts."""
    means = {name: mean_of(columns[name]) for name in (*LEVELS, "radcliq")}
    return means | {f"{level}_micro": f1_of(*(columns[f"{level}/{count}"] for count in ("tp", "fp", "fn"))) for level in LEVELS}


def facts(graph: Graph, level: Level) -> set[tuple[Any, ...]]:
    """What a graph states at a level, see above.

    Raises:
        UserError: if the graph is not of the form above.
    """
    stated: set[tuple[Any, ...]] = set()
    try:
        for entity in graph["entities"].values():
            plain = (entity["tokens"], entity["label"])
            if level == "simple" or not entity["relations"]:
                stated.add(plain)
            elif level == "partial":
                stated.add((*plain, True))
            else:
                targets = ((kind, graph["entities"][target]["tokens"].lower()) for kind, target in entity["relations"])
                stated |= {(entity["tokens"].lower(), entity["label"], *target) for target in targets}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"an annotation of RadGraph has entities with tokens, label and relations ({error!r})") from error
    return stated


class RecordedGraphs:
    """An annotator that looks texts up in annotation files of RadGraph (JSON, ``{"0": {"text": …, "entities": {…}}, …}``).

    RadGraph writes the text in tokens; a report is found whatever its white space and case.

    Raises:
        MissingFile, InvalidValue: naming the file.
    """

    def __init__(self, paths: Sequence[Path | str]) -> None:
        self.graphs: dict[str, Graph] = {}
        for path in map(Path, paths):
            if not path.is_file():
                raise MissingFile(path, "Annotate the reports with RadGraph first.")
            try:
                self.graphs |= {_key(graph["text"]): graph for graph in json.loads(path.read_text()).values()}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise InvalidValue(path, "annotations", f"expected objects with text and entities ({error!r})") from error

    def __call__(self, texts: Sequence[str]) -> list[Graph]:
        """The graph of each text; an empty text has an empty one.

        Raises:
            UserError: with the number of texts that have none.
        """
        missing = sum(_key(text) not in self.graphs for text in texts if text.strip())
        if missing:
            raise UserError(f"{missing} of {len(texts)} reports have no annotation of RadGraph")
        return [self.graphs.get(_key(text), {"entities": {}}) for text in texts]


def _key(text: str) -> str:
    return "".join(text.lower().split())


def _relations(graph: Graph) -> set[tuple[str, str, str]]:
    entities = graph["entities"]
    return {(e["tokens"], entities[target]["tokens"], kind) for e in entities.values() for kind, target in e["relations"]}


def _f1(said: set[Any], wanted: set[Any]) -> float:
    return 2 * len(said & wanted) / (len(said) + len(wanted)) if said and wanted else 0.0
