"""A fine-tuned entailment classifier as a judge of text: ``judge=entailment judge.model=FOLDER``.

Judges know no model of ours: the classifier reaches ``CallableJudge`` as a function of pairs that gives the probability of entailment. The
judge's hash covers the weights, so that another training is another judge.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from medvl.judges.callable import CallableJudge, Pair
from medvl.models.entailment import RELATIONS, load_entailment
from medvl.models.model_folders import WEIGHTS

ENTAILMENT = RELATIONS.index("entailment")


def entailment_judge(model: str, threshold: float = 0.5, batch_size: int = 64, device: str = "cpu") -> CallableJudge:
    """The judge of a classifier's folder.

    Args:
        model: a folder that ``save_entailment`` wrote.
        threshold: the least probability of an entailment.
        batch_size: pairs at once.
        device: where the classifier runs.

    Raises:
        MissingFile, InvalidValue: as ``load_entailment``.
    """
    classifier = load_entailment(model).to(device)
    with open(Path(model) / WEIGHTS, "rb") as file:
        version = hashlib.file_digest(file, "sha256").hexdigest()

    def score_pairs(pairs: Sequence[Pair]) -> list[float]:
        return classifier.probabilities(pairs, batch_size=batch_size)[:, ENTAILMENT].tolist()

    return CallableJudge(score_pairs, name="entailment", version=version, threshold=threshold)
