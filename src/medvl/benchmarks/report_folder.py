"""The folder that scoring reports leaves, and reading it again.

    results.json         figures, protocols, counts, judge (``Result.to_json``)
    per_sample.parquet   a row per sample: identifiers, then ``metric/value`` and ``metric#count``; metadata name each metric's aggregate
    phrases.jsonl        RadFact's phrases: side, text, boxes, status, evidence, explanation
    table.md, table.tex  the figures with their intervals
    radfact_scores.json  the official table, with ``compat=radfact`` only

``rebuild`` makes figures and tables from ``per_sample.parquet`` alone; ``read_scores`` gives what two systems are compared by.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medvl.benchmarks.report_scores import Bootstrap, Result, figures_of, units
from medvl.metrics.bootstrap import Estimate
from medvl.metrics.comparison import MEANS, matching_order
from medvl.metrics.scores import Scores, statistics_from
from medvl.runtime.errors import InvalidValue, MissingFile
from medvl.runtime.files import atomic_path, write_json, write_text

PER_SAMPLE, RESULTS, PHRASES = "per_sample.parquet", "results.json", "phrases.jsonl"
IDENTIFIERS = ("example_id", "patient_id", "unit", "dataset", "language")


@dataclass(frozen=True)
class ScoredFolder:
    """What ``per_sample.parquet`` holds.

    Attributes:
        example_ids: (N,) of the samples.
        units: (N,) what the bootstrap draws.
        scores: metric → columns and statistics.
        bootstrap: how the intervals were drawn.
    """

    example_ids: list[str]
    units: list[str]
    scores: dict[str, Scores]
    bootstrap: Bootstrap


def write_result(result: Result, folder: Path) -> dict[str, Any]:
    """Write the folder, each file atomically, and return the content of ``results.json``."""
    _write_per_sample(result, folder / PER_SAMPLE)
    if result.phrases:
        write_text(folder / PHRASES, "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in _phrases(result)))
    if result.official is not None:
        write_json(folder / "radfact_scores.json", {name: _plain(value) for name, value in result.official.items()})
    write_tables(folder, result.figures)
    found = result.to_json()
    write_json(folder / RESULTS, found)
    return found


def read_scores(folder: Path) -> ScoredFolder:
    """Scores from ``per_sample.parquet``.

    Raises:
        MissingFile: if it is not there.
        InvalidValue: if it was not written by scoring.
    """
    path = folder / PER_SAMPLE
    if not path.is_file():
        raise MissingFile(path, "Is this the folder of a `medvl score`?")
    table = pq.read_table(path)
    facts = (table.schema.metadata or {}).get(b"medvl.scores")
    if facts is None:
        raise InvalidValue(path, "metadata", "has no 'medvl.scores': was it written by `medvl score`?")
    described = json.loads(facts)
    columns = {name: table[name].to_numpy() for name in table.column_names if name not in IDENTIFIERS}
    scores = {name: _scores(name, facts, columns) for name, facts in described["metrics"].items()}
    return ScoredFolder(table["example_id"].to_pylist(), table["unit"].to_pylist(), scores, Bootstrap(**described["bootstrap"]))


def read_pair(first: Path, second: Path) -> tuple[ScoredFolder, ScoredFolder]:
    """Two folders on the same examples, the second in the order of the first.

    Raises:
        Incomparable: if their examples differ.
    """
    one, other = read_scores(first), read_scores(second)
    order = matching_order(one.example_ids, other.example_ids)
    return one, ScoredFolder(one.example_ids, one.units, {name: _ordered(s, order) for name, s in other.scores.items()}, other.bootstrap)


def rebuild(folder: Path) -> dict[str, dict[str, Estimate]]:
    """Figures and tables from ``per_sample.parquet`` alone; errors as ``read_scores``."""
    read = read_scores(folder)
    figures = figures_of(read.scores, read.units, read.bootstrap)
    write_tables(folder, figures)
    return figures


def write_tables(folder: Path, figures: Mapping[str, Mapping[str, Estimate]]) -> None:
    """Write ``table.md`` and ``table.tex``."""
    rows = [(f"{metric}/{name}", estimate) for metric, of in figures.items() for name, estimate in of.items()]
    markdown = ["| metric | value | 95 % interval | n |", "|---|---|---|---|"]
    markdown += [f"| {name} | {_number(e.value)} | {_interval(e)} | {e.n} |" for name, e in rows]
    write_text(folder / "table.md", "\n".join(markdown) + "\n")
    latex = [r"\begin{tabular}{lrrr}", r"metric & value & 95\,\% interval & n \\", r"\hline"]
    escaped = [(name.replace("_", "\\_"), e) for name, e in rows]
    latex += [f"{name} & {_number(e.value)} & {_interval(e)} & {e.n} \\\\" for name, e in escaped]
    write_text(folder / "table.tex", "\n".join([*latex, r"\end{tabular}"]) + "\n")


def _write_per_sample(result: Result, path: Path) -> None:
    columns: dict[str, Any] = {
        "example_id": [s.example_id for s in result.samples],
        "patient_id": [s.patient_id for s in result.samples],
        "unit": units(result.samples),
        "dataset": [s.dataset for s in result.samples],
        "language": [s.language for s in result.samples],
    }
    arrays = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    metrics = {}
    for name, scores in result.scores.items():
        arrays |= {f"{name}/{value}": pa.array(column) for value, column in scores.per_sample.items()}
        arrays |= {f"{name}#{count}": pa.array(column) for count, column in scores.counts.items()}
        lower = sorted(scores.lower_is_better)
        metrics[name] = {"protocol": dict(scores.protocol), "aggregate": scores.aggregate, "lower_is_better": lower}
    described = json.dumps({"schema_version": 1, "metrics": metrics, "bootstrap": asdict(result.bootstrap)})
    table = pa.table(arrays).replace_schema_metadata({"medvl.scores": described, "privacy": result.privacy})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


def _scores(name: str, facts: Mapping[str, Any], columns: Mapping[str, np.ndarray]) -> Scores:
    values = {c.removeprefix(f"{name}/"): column for c, column in columns.items() if c.startswith(f"{name}/")}
    counts = {c.removeprefix(f"{name}#"): column for c, column in columns.items() if c.startswith(f"{name}#")}
    bare = Scores(name, values, {}, facts["protocol"], counts, facts["aggregate"], frozenset(facts["lower_is_better"]))
    return _with_statistics(bare)


def _ordered(scores: Scores, order: Sequence[int]) -> Scores:
    values = {name: column[order] for name, column in scores.per_sample.items()}
    counts = {name: column[order] for name, column in scores.counts.items()}
    return _with_statistics(replace(scores, per_sample=values, counts=counts))


def _with_statistics(scores: Scores) -> Scores:
    """The scores with the statistics that their aggregate makes of their columns; none where no file can make them."""
    if scores.aggregate is None:
        return replace(scores, statistics={})
    columns = scores.per_sample if scores.aggregate == MEANS else {**scores.per_sample, **scores.counts}
    return replace(scores, statistics=statistics_from(scores.aggregate, columns, scores.protocol))


def _phrases(result: Result) -> Iterator[dict[str, Any]]:
    """One object per phrase of either side."""
    privacy = {sample.example_id: sample.privacy for sample in result.samples}
    for study in result.phrases:
        record = study.to_json()
        for side in ("candidate", "reference"):
            for index, phrase in enumerate(record[f"{side}_phrases"]):
                yield {"example_id": study.study_id, "side": side, "index": index, **phrase, "privacy": privacy[study.study_id]}


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _interval(estimate: Estimate) -> str:
    return "" if estimate.ci_low is None or estimate.ci_high is None else f"{estimate.ci_low:.3f} … {estimate.ci_high:.3f}"
