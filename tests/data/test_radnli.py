"""RadNLI: JSON lines of two sentences and their relation."""

import json

import pytest

from medvl.data import radnli
from medvl.records import SentencePair
from medvl.runtime.errors import InvalidValue, MissingFile

LINE = {"sentence1": "No effusion.", "sentence2": "There is an effusion.", "gold_label": "contradiction"}


def write(root, name, *lines):
    (root / name).write_text("".join(f"{json.dumps(line) if isinstance(line, dict) else line}\n" for line in lines))


def test_both_files_are_read_with_their_split_as_subset(tmp_path):
    write(tmp_path, "radnli_test_v1.jsonl", LINE | {"pair_id": "7"}, "")
    write(tmp_path, "radnli_dev_v1.jsonl", LINE)

    dev, test = radnli.read_pairs(tmp_path)

    assert dev == SentencePair("No effusion.", "There is an effusion.", "contradiction", "dev", "dev-1")
    assert (test.subset, test.pair_id, test.privacy) == ("test", "7", "local_only")
    assert list(radnli.read_pairs(tmp_path, split="test")) == [test]


BAD = ("{", "[]", "3", LINE | {"gold_label": "maybe"}, {"sentence1": "a"}, LINE | {"sentence2": 3})


@pytest.mark.parametrize("line", BAD)
def test_a_damaged_line_is_named(tmp_path, line):
    write(tmp_path, "radnli_dev_v1.jsonl", LINE, line)

    with pytest.raises(InvalidValue, match=r"radnli_dev_v1\.jsonl, line 2"):
        list(radnli.read_pairs(tmp_path))


def test_a_folder_without_files_is_named(tmp_path):
    with pytest.raises(MissingFile, match="radnli_test_v1"):
        list(radnli.read_pairs(tmp_path))
