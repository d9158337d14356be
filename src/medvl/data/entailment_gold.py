"""Gold labels of entailment, to qualify judges with: RadFact's public examples and sentence pairs, in one form.

RadFact's ``examples/test_examples.json`` (microsoft/RadFact, read from the user's own checkout) lists ``study_id``, ``example_id``,
``input`` {``phrases_A``, ``phrases_B``} and ``output`` {``phrases_A_evidenced``, ``phrases_B_evidenced``}, each item of which has
``phrase``, ``evidence`` and ``status``: entailment, neutral or contradiction, as radiologists say. Each phrase of A is a hypothesis about
all of B, and the other way round.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from medvl.data.documents import naming, read_json
from medvl.data.radnli import read_pairs
from medvl.records import PrivacyPolicy, SentencePair
from medvl.runtime.errors import InvalidValue

RELATIONS = ("entailment", "neutral", "contradiction")
SIDES = {"candidate": ("phrases_A_evidenced", "phrases_B"), "reference": ("phrases_B_evidenced", "phrases_A")}


@dataclass(frozen=True, slots=True)
class GoldEntailment:
    """A hypothesis, the phrases it is held against, and what experts say.

    Attributes:
        relation: ``entailment``, ``neutral`` or ``contradiction``.
        evidence: the phrases that decide, where experts named them.
        category: a group that figures are given for beside the whole, e.g. whose report the hypothesis is from.
        cluster: what the phrase shares with others that are not independent of it: the study, the pair.
    """

    reference: tuple[str, ...]
    hypothesis: str
    relation: str
    evidence: tuple[str, ...] = ()
    category: str = "all"
    cluster: str = ""
    language: str = "en"


def read_gold(
    path: Path | str, *, split: str | None = None, language: str = "en", privacy: PrivacyPolicy = "local_only"
) -> list[GoldEntailment]:
    """RadFact's examples (a JSON file) or RadNLI's pairs (a folder).

    Raises:
        MissingFile, InvalidValue: naming the file and the place in it.
    """
    path = Path(path)
    found = (
        from_pairs(read_pairs(path, split=split, privacy=privacy))
        if path.is_dir()
        else list(read_radfact_examples(path, language=language))
    )
    if not found:
        raise InvalidValue(path, "document", "holds no gold label")
    return found


def read_radfact_examples(path: Path, *, language: str = "en") -> Iterator[GoldEntailment]:
    """Every phrase of every example, in file order.

    Raises:
        MissingFile, InvalidValue: naming the file and the example.
    """
    examples = read_json(path)
    if not isinstance(examples, list):
        raise InvalidValue(path, "document", "is not a list of examples")
    for number, example in enumerate(examples):
        with naming(path, f"example {number}"):
            found = [
                _gold(item, tuple(example["input"][other]), side, str(example["example_id"]), language)
                for side, (evidenced, other) in SIDES.items()
                for item in example["output"][evidenced]
            ]
        yield from found


def from_pairs(pairs: Iterable[SentencePair]) -> list[GoldEntailment]:
    """Pairs of premise and hypothesis; pairs of two wordings (paraphrase, contradiction) are no inference and are left out."""
    return [
        GoldEntailment((p.text_1,), p.text_2, p.relation, (), p.subset or "all", p.pair_id or f"{p.text_1}\n{p.text_2}", p.language)
        for p in pairs
        if p.relation in RELATIONS and p.subset not in ("RadGraph", "Swaps")
    ]


def _gold(item: dict[str, object], reference: tuple[str, ...], side: str, cluster: str, language: str) -> GoldEntailment:
    if item["status"] not in RELATIONS or not isinstance(item["phrase"], str) or not isinstance(item["evidence"], list):
        raise ValueError("a phrase needs text, a list of evidence, and a status among " + ", ".join(RELATIONS))
    return GoldEntailment(reference, item["phrase"], str(item["status"]), tuple(map(str, item["evidence"])), side, cluster, language)
