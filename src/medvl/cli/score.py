"""medvl score predictions=FILE [references=FILE] metrics=[bleu,rouge_l,radfact,…] [judge=rules|endpoint|…] [options.METRIC.KEY=…]
medvl score compare FOLDER FOLDER [statistics=[radfact/logical_f1]]
medvl score rebuild FOLDER
medvl score agreement FOLDER counts=FILE [errors=significant]

Scores reports and leaves `results.json` with intervals over patients, `per_sample.parquet`, `phrases.jsonl`, a table in Markdown and LaTeX,
and a page on which each sentence shows its verdict, evidence and boxes. `compare` tests two systems on the same examples: paired intervals,
permutation p-values, Holm's correction. `rebuild` makes the tables again from the per-sample file alone. `agreement` sets every value
against the errors that radiologists counted in the same reports: Kendall's tau-b with its interval.

  medvl score predictions=predictions.jsonl references=references.json metrics=[rouge_l,radfact] judge=rules
  medvl score compare outputs/score/score-0123abcd outputs/score/score-4567cdef
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from medvl.cli import app
from medvl.runtime.config import check_targets, instantiate, run_folder
from medvl.runtime.files import write_json, write_text

if TYPE_CHECKING:
    from medvl.benchmarks.report_scores import Result
    from medvl.data.report_samples import JoinedSamples

POSITIONS = {"compare": ("first", "second"), "rebuild": ("folder",), "agreement": ("folder",)}


def main(overrides: list[str]) -> None:
    """Run one of the four verbs."""
    if overrides and overrides[0] in POSITIONS:
        verb, words = overrides[0], overrides[1:]
        names = iter(POSITIONS[verb])
        given = [word if "=" in word or word.startswith("-") else f"{next(names, 'folder')}={word}" for word in words]
        return app.run(f"score_{verb}", {"compare": compare, "rebuild": rebuild, "agreement": agreement}[verb], given)
    # Options belong to metrics, which are chosen by name: their keys are not in the verb's own configuration, which takes no others.
    app.run("score", task, [f"++{word}" if word.startswith("options.") else word for word in overrides])


def task(config: DictConfig) -> dict[str, Any] | None:
    """Score, or plan it."""
    from medvl.benchmarks.metric_configs import metric_nodes, metrics_of

    check_targets(config)
    nodes = metric_nodes(config.metrics, config.options)
    folder = Path(config.out) if config.out else run_folder(config, "score")
    if config.dry_run:
        missing = [str(path) for path in (config.predictions, config.references) if path and not Path(path).exists()]
        return app.show_plan(config, {"folder": str(folder), "missing": missing})
    from medvl.benchmarks.report_folder import write_result
    from medvl.benchmarks.report_scores import Bootstrap, score
    from medvl.judges.recorded import Recorder
    from medvl.runtime.provenance import provenance
    from medvl.viewer.score_page import write_score_page

    joined = read_samples(config)
    judge = instantiate(config.judge) if config.get("judge") else None
    recorder = Recorder(judge) if judge and config.record else None
    bootstrap = Bootstrap(config.replicates, config.seed)
    result = score(joined.samples, metrics=metrics_of(nodes), judge=recorder or judge, bootstrap=bootstrap, counts=dict(joined.counts))
    if recorder:
        recorder.write(config.record)
    found = write_result(result, folder)
    write_text(folder / "config.yaml", OmegaConf.to_yaml(config))
    write_json(folder / "provenance.json", provenance(seed=config.seed))
    write_score_page(folder / "index.html", title=config.name, results=found, studies=shown_studies(result), privacy=result.privacy)
    if not config.json:
        print_figures(found, folder)
    return found


def compare(config: DictConfig) -> dict[str, Any] | None:
    """Test two scored systems against each other."""
    from dataclasses import asdict

    from medvl.benchmarks.report_folder import read_pair
    from medvl.metrics.comparison import compare as compare_scores

    first, second = Path(config.first), Path(config.second)
    if config.dry_run:
        return app.show_plan(config, {"missing": [str(path) for path in (first, second) if not path.exists()]})
    one, other = read_pair(first, second)
    options = {"replicates": config.replicates, "permutations": config.permutations, "seed": config.seed}
    found = compare_scores(one.scores, other.scores, one.units, statistics=config.statistics, **options)
    table = {"schema_version": 1, "first": str(first), "second": str(second), "comparisons": [asdict(c) for c in found]}
    if config.out:
        write_json(Path(config.out), table)
    if not config.json:
        _print_comparisons([asdict(c) for c in found])
    return table


def rebuild(config: DictConfig) -> dict[str, Any] | None:
    """Make figures and tables again."""
    from dataclasses import asdict

    from medvl.benchmarks.report_folder import rebuild as rebuild_folder

    folder = Path(config.folder)
    if config.dry_run:
        return app.show_plan(config, {"missing": [] if folder.exists() else [str(folder)]})
    figures = rebuild_folder(folder)
    if not config.json:
        print((folder / "table.md").read_text(), end="")
    return {"metrics": {f"{metric}/{name}": asdict(e) for metric, of in figures.items() for name, e in of.items()}}


def agreement(config: DictConfig) -> dict[str, Any] | None:
    """Set metrics against radiologists."""
    from medvl.benchmarks.metric_agreement import agreement as agreement_of

    folder, counts = Path(config.folder), Path(config.counts)
    if config.dry_run:
        return app.show_plan(config, {"missing": [str(path) for path in (folder, counts) if not path.exists()]})
    rows = agreement_of(folder, counts, errors=config.errors, replicates=config.replicates, seed=config.seed)
    table = {"schema_version": 1, "folder": str(folder), "counts": str(counts), "errors": config.errors, "kendall_tau_b": rows}
    if config.out:
        write_json(Path(config.out), table)
    if not config.json:
        _print_agreement(rows)
    return table


def read_samples(config: DictConfig) -> JoinedSamples:
    """Predictions beside references, from one file or two."""
    from medvl.data.report_files import read_reports
    from medvl.data.report_samples import join

    options = {"language": config.language, "privacy": config.privacy}
    predictions = read_reports(config.predictions, "prediction", **options)
    references = read_reports(config.references, "reference", **options) if config.references else predictions
    return join(predictions, references, allow_missing=config.allow_missing)


def shown_studies(result: Result) -> list[dict[str, Any]]:
    """What the page shows of each sample: both reports, and RadFact's judged phrases where it ran."""
    from medvl.data.report_samples import plain_text

    judged = {study.study_id: study.to_json() for study in result.phrases}
    return [
        {
            "example_id": sample.example_id,
            "prediction": plain_text(sample.prediction or ""),
            "reference": plain_text(sample.reference or ""),
            "judged": judged.get(sample.example_id),
        }
        for sample in result.samples
    ]


def print_figures(found: Mapping[str, Any], folder: Path) -> None:
    """The figures as a table on the terminal."""
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column("metric", overflow="fold"), "value", "95 % interval", "n", box=None)
    for name, entry in found["metrics"].items():
        value = "undefined" if entry["value"] is None else f"{entry['value']:.3f}"
        interval = "" if entry["ci_low"] is None else f"[{entry['ci_low']:.3f}, {entry['ci_high']:.3f}]"
        table.add_row(name, value, interval, str(entry["n"]))
    console = Console()
    console.print(table)
    known = ("samples", "patients")
    lost = {name: value for name, value in found["counts"].items() if value and name not in known and "success" not in name}
    console.print(f"{found['counts']['samples']} samples" + (f"; {_listed(lost)}" if lost else ""), highlight=False)
    console.print(f"Everything is in {folder}", highlight=False)


def _listed(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in counts.items())


def _print_comparisons(comparisons: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column("statistic", overflow="fold"), "first", "second", "difference", "95 % interval", "p", "p (Holm)", box=None)
    for row in comparisons:
        difference = row["difference"]
        interval = "" if difference["ci_low"] is None else f"[{difference['ci_low']:.3f}, {difference['ci_high']:.3f}]"
        values = [_short(row[side]["value"]) for side in ("first", "second", "difference")]
        table.add_row(f"{row['metric']}/{row['statistic']}", *values, interval, _short(row["p_value"]), _short(row["p_adjusted"]))
    Console(file=sys.stdout).print(table)


def _print_agreement(rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column("metric", overflow="fold"), "Kendall's tau-b", "95 % interval", "n", box=None)
    for row in rows:
        interval = "" if row["ci_low"] is None else f"[{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
        table.add_row(row["metric"], _short(row["value"]), interval, str(row["n"]))
    Console().print(table)


def _short(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
