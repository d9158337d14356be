"""medvl data verify dataset=NAME root=FOLDER [sample=200] [--all]
medvl data show data=NAME [study=ID] [out=PAGE.html]

`verify` compares a folder with the published release: expected, found, missing, corrupt, first bad names; it opens a sample of the files,
all with `--all`. `show` makes a page of one study of a prepared dataset: its views, boxes, report and labels.

  medvl data verify dataset=mimic_cxr root=data/mimic-cxr
  medvl data show data=phantom
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from medvl.cli import app
from medvl.records import Study
from medvl.runtime.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from medvl.data.prepared import PreparedDataset


def main(overrides: list[str]) -> None:
    """Run one of the two verbs."""
    verbs = {"verify": verify, "show": show}
    words = ["all=true" if word == "--all" else word for word in overrides]
    if not words or words[0] not in verbs:
        sys.exit(f"medvl data: there is no verb {words[0] if words else ''!r}{did_you_mean(words[0] if words else '', verbs)}")
    app.run(f"data_{words[0]}", verbs[words[0]], words[1:])


def verify(config: DictConfig) -> dict[str, Any] | None:
    """Check a folder; exit status 1 if anything is missing or corrupt."""
    from rich.console import Console

    from medvl.data.verify import verify as verify_dataset

    root = Path(config.root)
    if config.dry_run:
        return app.show_plan(config, {"missing": [] if root.exists() else [str(root)]})
    report = verify_dataset(config.dataset, root, sample=config.sample, all_files=config.all)
    if not config.json:
        Console().print(report.table())
    return {"ok": report.ok, **report.to_json()}


def show(config: DictConfig) -> dict[str, Any] | None:
    """Write the page of one study."""
    from medvl.cli import stages
    from medvl.data.prepared import PreparedDataset
    from medvl.viewer.study_page import write_study_page

    if config.dry_run:
        return app.show_plan(config, {"missing": stages.missing_roots(config)})
    dataset = PreparedDataset(stages.prepared(config))
    study = _chosen(dataset, config.study)
    page = Path(config.out or Path(config.outputs) / "data" / f"{study.study_id}.html")
    write_study_page(page, study, {v: dataset.image(v) for v in dataset.view_ids(dataset.index(study.study_id))})
    if not config.json:
        print(page)
    return {"page": str(page), "study_id": study.study_id}


def _chosen(dataset: PreparedDataset, study_id: str | None) -> Study:
    """The study asked for, or the first with a report."""
    if study_id is None:
        return next(s for s in dataset.studies if s.report)
    if str(study_id) not in dataset:
        raise UserError(f"{dataset.folder} has no study {study_id!r}")
    return dataset.studies[dataset.index(str(study_id))]
