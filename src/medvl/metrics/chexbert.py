"""CheXbert F1 and similarity (Smit et al. 2020): do prediction and reference carry the same CheXpert labels?

A labeller turns each report into labels over 14 findings; a blank counts as negative, and what an uncertain label counts as has a name:
``positive`` is the convention of ``f1chexbert`` and RadEval, ``negative`` that of a part of the literature; tables differ by points. F1 is
scikit-learn's ``classification_report``: micro, macro and weighted over all 14 (``No Finding`` included) or the usual five. A label that
neither side has scores 0 in the macro mean, as there, which biases the macro bootstrap of small sets downwards.

The labeller is a callable: ``models.chexbert`` loads the official weights; ``rules`` (the lexicon's) needs none and is no CheXbert.
Each result is named for its labeller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medvl.metrics.bootstrap import Statistic, mean_of
from medvl.metrics.scores import Columns, Scores, function_name, paired, scores
from medvl.records import LabelValue

FINDINGS = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
    "No Finding",
)
TOP_5 = ("Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion")

Labeller = Callable[[Sequence[str]], Sequence[Mapping[str, LabelValue]]]
"""From texts to labels by finding; a finding that is not there is blank. Its ``name``, where it has one, stands in results."""
Embedder = Callable[[Sequence[str]], ArrayLike]
"""From texts to vectors (N, D)."""


def rules(texts: Sequence[str], *, language: Literal["en", "es"] = "en") -> list[Mapping[str, LabelValue]]:
    """The lexicon's rule labeller; each distinct text is labelled once."""
    from medvl.lexicon.chexpert import label

    known = {text: label(text, language=language) for text in set(texts)}
    return [known[text] for text in texts]


def chexpert_f1(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    labeller: Labeller,
    uncertain: Literal["positive", "negative"] = "positive",
) -> Scores:
    """F1 of the labels of predictions against those of the references.

    Example: references with {Edema}, {Edema, Pneumonia}, predictions with {Edema}, {Pneumonia}: Edema has one hit and one miss
    (F1 = 2/3), Pneumonia one hit (1); micro = 2 · 2 / (2 · 2 + 1) = 4/5, macro over 14 = (2/3 + 1) / 14.

    Args:
        predictions, references: N reports each.
        labeller: see ``Labeller``.
        uncertain: what an uncertain label counts as.

    Returns:
        ``micro_f1_14``, ``macro_f1_14``, ``weighted_f1_14``, the same with ``_5``, ``exact_match_5`` (f1chexbert's accuracy) and the F1 of
        every finding; per report the share of equal labels (14) and the exact match (5).

    Raises:
        ValueError: if the lists differ in length or are empty, or a label is not positive, negative or uncertain.
    """
    paired("chexpert_f1", predictions, references)
    said, wanted = (binary_labels(labeller(texts), uncertain=uncertain) for texts in (predictions, references))  # (N, 14)
    five = [FINDINGS.index(finding) for finding in TOP_5]
    per_sample = {
        "label_accuracy_14": (said == wanted).mean(axis=1),
        "exact_match_5": (said == wanted)[:, five].all(axis=1),
    }
    counts = {}
    for i, finding in enumerate(FINDINGS):
        counts[f"{finding}/tp"] = said[:, i] & wanted[:, i]
        counts[f"{finding}/fp"] = said[:, i] & ~wanted[:, i]
        counts[f"{finding}/fn"] = ~said[:, i] & wanted[:, i]
    name = function_name(labeller)
    protocol = {"version": 1, "labeller": name, "uncertain": uncertain, "blank": "negative"}
    return scores(f"chexpert_f1_{name.partition('(')[0]}", per_sample, protocol, counts=counts, aggregate=averages)


def binary_labels(labels: Sequence[Mapping[str, LabelValue]], *, uncertain: Literal["positive", "negative"]) -> NDArray[np.bool_]:
    """Labels as booleans (N, 14) in the order of ``FINDINGS``.

    Raises:
        ValueError: naming a value that is no label.
    """
    known = {"positive": True, "negative": False, "uncertain": uncertain == "positive", None: False}
    if strange := {value for report in labels for value in report.values()} - set(known):
        raise ValueError(f"labels are positive, negative or uncertain, got {strange.pop()!r}")
    return np.array([[known[report.get(finding)] for finding in FINDINGS] for report in labels], bool)


def averages(columns: Columns, protocol: Mapping[str, Any]) -> dict[str, Statistic]:
    """Micro, macro and weighted F1 over 14 and 5 findings, of counts summed over the reports, and the F1 of each finding."""
    table = np.stack([columns[f"{finding}/{count}"] for count in ("tp", "fp", "fn") for finding in FINDINGS], axis=1)  # (N, 42)

    def statistic(average: Callable[[NDArray[np.float64]], NDArray[np.float64]], findings: Sequence[str]) -> Statistic:
        chosen = [FINDINGS.index(finding) for finding in findings]
        return lambda weights: average((weights @ table).reshape(len(weights), 3, len(FINDINGS))[:, :, chosen])

    averaged: dict[str, Statistic] = {}
    for findings in (FINDINGS, TOP_5):
        for name, average in (("micro", _micro), ("macro", _macro), ("weighted", _weighted)):
            averaged[f"{name}_f1_{len(findings)}"] = statistic(average, findings)
    averaged |= {name: mean_of(columns[name]) for name in ("label_accuracy_14", "exact_match_5")}
    return averaged | {f"f1/{finding}": statistic(_macro, [finding]) for finding in FINDINGS}


def similarity(predictions: Sequence[str], references: Sequence[str], *, embedder: Embedder) -> Scores:
    """CheXbert similarity (``semb_score`` of RadCliQ): the cosine of the [CLS] vectors of prediction and reference.

    Example: (1, 0) and (1, 1): 1/√2.

    Args:
        predictions, references: N reports each.
        embedder: see ``Embedder``; ``embed`` of ``models.chexbert``'s labeller for the published metric.

    Returns:
        ``semb_score`` in [−1, 1]; NaN for a vector of zeros.
    """
    paired("similarity", predictions, references)
    said, wanted = (np.asarray(embedder(texts), np.float64) for texts in (predictions, references))  # (N, D)
    norms = np.linalg.norm(said, axis=1) * np.linalg.norm(wanted, axis=1)
    cosines = np.divide((said * wanted).sum(axis=1), norms, out=np.full(len(norms), np.nan), where=norms > 0)
    return scores("chexbert_similarity", {"semb_score": cosines}, {"version": 1, "embedder": function_name(embedder)})


def _f1(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """TP, FP, FN (R, 3, …) → F1 (R, …), 0 where there is nothing to find and nothing found."""
    found, wrong, missed = counts[:, 0], counts[:, 1], counts[:, 2]
    below = 2 * found + wrong + missed
    return np.divide(2 * found, below, out=np.zeros_like(below), where=below > 0)


def _micro(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return _f1(counts.sum(axis=2))


def _macro(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return _f1(counts).mean(axis=1)


def _weighted(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    support = counts[:, 0] + counts[:, 2]
    total = support.sum(axis=1)
    return np.divide((_f1(counts) * support).sum(axis=1), total, out=np.zeros_like(total), where=total > 0)
