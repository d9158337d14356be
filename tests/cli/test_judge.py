"""`medvl judge qualify`, and the configurations of judges."""

import inspect
import json

import pytest
from hydra.utils import get_object

from medvl.cli.main import main
from medvl.runtime.config import check_targets, compose, instantiate


@pytest.mark.parametrize(
    ("judge", "more"),
    [
        ("rules", []),
        ("endpoint", ["judge.model=x"]),
        ("local", ["judge.model=x"]),
        ("recorded", ["judge.table=x"]),
        ("entailment", ["judge.model=x"]),
    ],
)
def test_every_judge_composes_and_takes_the_keys_it_is_given(judge, more):
    config = compose("judge_qualify", [f"judge={judge}", "gold=x", *more])

    check_targets(config)

    node = config.judge
    signature = inspect.signature(get_object(node._target_))
    signature.bind_partial(**{key: None for key in node if not key.startswith("_")})
    if judge in ("rules", "endpoint"):
        assert instantiate(node).name == {"rules": "rules", "endpoint": "endpoint:x"}[judge]


def test_a_judge_is_qualified_from_the_command_line(tmp_path, capsys):
    pairs = [("Small left effusion.", "Pleural effusion.", "entailment"), ("No effusion.", "Pleural effusion.", "contradiction")]
    lines = [json.dumps({"sentence1": a, "sentence2": b, "gold_label": r, "pair_id": str(n)}) for n, (a, b, r) in enumerate(pairs)]
    (tmp_path / "radnli_dev_v1.jsonl").write_text("\n".join(lines))

    main(["judge", "qualify", "judge=rules", f"gold={tmp_path}", f"outputs={tmp_path / 'out'}", "replicates=20", "--json"])

    found = json.loads(capsys.readouterr().out)
    assert found["metrics"]["accuracy"]["value"] == 1.0
    assert found["protocol"]["judge_qualification"]["judge"] == "rules"
    (folder,) = (tmp_path / "out" / "judge_qualify").iterdir()
    assert json.loads((folder / "results.json").read_text()) == found
    assert (folder / "verdicts.parquet").is_file()


def test_another_word_than_qualify_is_an_error():
    with pytest.raises(SystemExit, match="qualify"):
        main(["judge", "quality"])
