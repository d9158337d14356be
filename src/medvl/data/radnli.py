"""RadNLI: pairs of radiology sentences that entail, contradict or leave each other open (Miura et al. 2021; PhysioNet, credentialed).

``radnli_dev_v1.jsonl`` and ``radnli_test_v1.jsonl``, 480 pairs each, one JSON object a line with ``sentence1``, ``sentence2`` and
``gold_label``; MedNLI's ``mli_{train,dev,test}_v1.jsonl`` have the same form. There are no studies, hence no ``read_studies``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medvl.data.documents import naming, read_json_lines
from medvl.records import PrivacyPolicy, SentencePair
from medvl.runtime.errors import MissingFile

NAMES = "*_{split}_v1.jsonl"
SPLITS = ("train", "dev", "test")
RELATIONS = ("entailment", "neutral", "contradiction")


def read_pairs(root: Path | str, *, split: str | None = None, privacy: PrivacyPolicy = "local_only") -> Iterator[SentencePair]:
    """Yield the sentence pairs of each file at hand, in file order; ``subset`` is the split (``train``, ``dev`` or ``test``).

    Args:
        root: the folder of the files.
        split: only this split.
        privacy: the policy that the pairs carry.

    Raises:
        MissingFile: if no file is there.
        InvalidValue: naming the line, if it is not JSON, lacks a sentence, or has another relation.
    """
    wanted = SPLITS if split is None else (split,)
    files = [(name, path) for name in wanted for path in sorted(Path(root).glob(NAMES.format(split=name)))]
    if not files:
        raise MissingFile(Path(root) / f"radnli_{split or 'test'}_v1.jsonl", "give the folder of the RadNLI release")
    for name, path in files:
        for number, value in read_json_lines(path):
            with naming(path, f"line {number}"):
                pair = _pair(value, name, number, privacy)
            yield pair


def _pair(value: Any, split: str, number: int, privacy: PrivacyPolicy) -> SentencePair:
    texts = value["sentence1"], value["sentence2"]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError("a sentence is missing")
    if value["gold_label"] not in RELATIONS:
        raise ValueError(f"the relation {value['gold_label']!r} is not one of {', '.join(RELATIONS)}")
    pair_id = value.get("pair_id") or value.get("pairID") or f"{split}-{number}"
    return SentencePair(*texts, value["gold_label"], split, str(pair_id), privacy=privacy)
