"""Notebooks hold no outputs and run on the files that a run leaves."""

import json
from pathlib import Path

import pandas as pd
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
ENTRY = {"value": 0.7, "ci_low": 0.6, "ci_high": 0.8, "n": 9}
FIGURE = {**ENTRY, "untrained": {**ENTRY, "value": 0.5, "ci_low": 0.4, "ci_high": 0.6}}


def cells(notebook):
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_kept(notebook):
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells(notebook))


@pytest.mark.slow
def test_the_quickstart_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "outputs" / "train" / "quickstart-0"
    run.mkdir(parents=True)
    results = {"metrics": {"zero_shot_auroc": FIGURE}, "per_finding": {"zero_shot_auroc": {"edema": FIGURE, "nodule": FIGURE}}}
    (run / "results.json").write_text(json.dumps(results))
    (run / "log.csv").write_text("step,name,value\n1,train/loss,2.0\n1,val/loss,2.1\n")
    columns = {"cnr": 0.1, "miou": 0.1, "miou_best_threshold": 0.2, "pointing_game": 1.0}
    pd.DataFrame([{"model": "trained", "finding": "edema", **columns}]).to_parquet(run / "per_sample.parquet")

    names: dict = {}
    for cell in cells(next(path for path in NOTEBOOKS if path.stem == "quickstart")):
        exec("".join(cell["source"]), names)

    assert names["run"].name == "quickstart-0"
    assert len(names["phrases"]) == 1
