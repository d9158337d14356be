"""Metrics against radiologists: Kendall's tau-b of every per-report value of a scored folder with the errors that radiologists counted.

The counts are one table of the user's own, made from ReXVal's or RadEvalX's files, say (the sets themselves are PhysioNet's):

    example_id, rater, category, significant, errors   and optionally   cluster

``significant`` is 1 or 0. A rater without an error of some category needs no row for it, but at least one row for each report that was
rated. Candidates of one study belong together: ``cluster`` names it, otherwise the unit of the folder (the patient) counts. Reports that
nobody rated are an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medvl.benchmarks.report_folder import ScoredFolder, read_scores
from medvl.data.tables import read_table
from medvl.metrics.radiologist_agreement import RaterCount, errors_per_report, radiologist_agreement
from medvl.runtime.errors import InvalidValue, MissingFile

COLUMNS = ("example_id", "rater", "category", "significant", "errors")
KINDS: dict[str, bool | None] = {"all": None, "significant": True, "insignificant": False}


def read_counts(path: Path) -> tuple[list[RaterCount], dict[str, str]]:
    """The counts of a table, and the cluster of each example where the table names it.

    Raises:
        MissingFile: if it is not there.
        MissingColumns, InvalidValue: naming the file, the row and the field.
    """
    if not path.is_file():
        raise MissingFile(path, f"a table with the columns {', '.join(COLUMNS)}")
    rows = read_table(path, COLUMNS, optional=("cluster",)).to_pylist()
    return list(_counts(path, rows)), {row["example_id"]: row["cluster"] for row in rows if row["cluster"]}


def agreement(folder: Path, counts: Path, *, errors: str = "all", replicates: int = 1000, seed: int = 0) -> list[dict[str, Any]]:
    """Tau-b of each value with the radiologists' errors, positive where the metric is better for fewer errors; the best first.

    Args:
        folder: of a ``medvl score``.
        counts: the table of errors.
        errors: ``all``, ``significant`` or ``insignificant`` ones.
        replicates, seed: of the bootstrap over clusters.

    Raises:
        UserError: of ``read_counts``, ``read_scores`` and ``errors_per_report``; an unknown kind of errors.
    """
    if errors not in KINDS:
        raise InvalidValue(counts, "errors", f"is one of {', '.join(KINDS)}, got {errors!r}")
    scored = read_scores(folder)
    told, clusters = read_counts(counts)
    found = errors_per_report(told, scored.example_ids, significant=KINDS[errors])
    units = [clusters.get(name, unit) for name, unit in zip(scored.example_ids, scored.units, strict=True)]
    rows = [
        {"metric": name, **asdict(radiologist_agreement(values, found, units, lower_is_better=lower, replicates=replicates, seed=seed))}
        for name, values, lower in _values(scored)
    ]
    return sorted(rows, key=lambda row: (row["value"] is None, -(row["value"] or 0.0)))


def _values(scored: ScoredFolder) -> Iterator[tuple[str, Any, bool]]:
    """Name, values per report, and whether lower is better, of everything that a person reads per report."""
    for metric, scores in scored.scores.items():
        for name, values in scores.per_sample.items():
            yield f"{metric}/{name}", values, name in scores.lower_is_better


def _counts(path: Path, rows: Sequence[dict[str, str | None]]) -> Iterator[RaterCount]:
    for number, row in enumerate(rows, start=2):
        if absent := [name for name in COLUMNS if row[name] is None]:
            raise InvalidValue(path, f"row {number}", f"has no {absent[0]}")
        if row["significant"] not in ("0", "1"):
            raise InvalidValue(path, f"row {number}, significant", f"is 1 or 0, got {row['significant']!r}")
        if not str(row["errors"]).isdigit():
            raise InvalidValue(path, f"row {number}, errors", f"is a number of errors, got {row['errors']!r}")
        yield RaterCount(
            str(row["example_id"]), str(row["rater"]), str(row["category"]), row["significant"] == "1", int(str(row["errors"]))
        )
