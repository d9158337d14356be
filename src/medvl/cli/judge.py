"""medvl judge qualify judge=NAME gold=PATH [language=en] [fidelity=true]

Scores a judge on gold labels of entailment: RadFact's public examples (a JSON file of the user's own checkout) or RadNLI (a folder).
Leaves accuracy, precision, recall, Cohen's kappa with intervals, and agreement with itself, in <outputs>/judge_qualify/; `results.json`
names the judge, its prompt hash and what it was allowed to see.

  medvl judge qualify judge=rules gold=RadFact/examples/test_examples.json privacy=public
  medvl judge qualify judge=endpoint judge.model=llama-3-70b judge.batch=8 fidelity=true gold=data/radnli
  medvl judge qualify judge=entailment judge.model=outputs/radnli-classifier gold=data/radnli
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medvl.cli import app
from medvl.runtime.config import check_targets, instantiate, run_folder
from medvl.runtime.errors import did_you_mean


def main(overrides: list[str]) -> None:
    """Run the verb."""
    if overrides[:1] != ["qualify"]:
        word = overrides[0] if overrides else ""
        sys.exit(f"medvl judge: there is no verb {word!r}{did_you_mean(word, ['qualify'])}")
    app.run("judge_qualify", qualify, overrides[1:])


def qualify(config: DictConfig) -> dict[str, Any] | None:
    """Score a judge, or plan it."""
    check_targets(config)
    folder = run_folder(config, "judge_qualify")
    if config.dry_run:
        return app.show_plan(config, {"folder": str(folder), "missing": [] if Path(config.gold).exists() else [config.gold]})
    from medvl.benchmarks import results
    from medvl.benchmarks.judge_qualification import qualify as qualify_judge
    from medvl.data.entailment_gold import read_gold
    from medvl.runtime.files import write_json, write_text
    from medvl.runtime.provenance import provenance

    gold = read_gold(config.gold, split=config.split, language=config.language, privacy=config.privacy)
    uncached = {"cache": None} if "cache" in config.judge else {}
    evaluation = qualify_judge(
        instantiate(config.judge),
        gold,
        dataset=config.dataset,
        privacy=config.privacy,
        again=instantiate(config.judge, **uncached) if config.repeat else None,
        single=instantiate(config.judge, batch=1) if config.fidelity and config.judge.get("batch", 1) > 1 else None,
        replicates=config.replicates,
        seed=config.seed,
    )
    results.write(folder, [evaluation])
    write_text(folder / "config.yaml", OmegaConf.to_yaml(config))
    write_json(folder / "provenance.json", provenance(seed=config.seed))
    found = results.results([evaluation])
    if not config.json:
        _print(found, folder)
    return found


def _print(found: dict[str, Any], folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    protocol = found["protocol"]["judge_qualification"]
    table = Table(protocol["judge"], "value", "95 % interval", "n", box=None)
    rows = [*found["metrics"].items(), *(("accuracy, " + name, entry) for name, entry in found["per_finding"]["accuracy"].items())]
    for name, entry in rows:
        known = entry["value"] is not None
        interval = f"[{entry['ci_low']:.3f}, {entry['ci_high']:.3f}]" if known and entry["ci_low"] is not None else ""
        table.add_row(name, f"{entry['value']:.3f}" if known else "undefined", interval, str(entry["n"]))
    console = Console()
    console.print(table)
    console.print(
        f"prompt hash {protocol['prompt_hash'][:12]}, failures {protocol['failures'] or 'none'}; everything is in {folder}", highlight=False
    )
