"""What the benchmarks' metrics are called in print: the benchmark, a plain name, one line on what it means, and the value of chance."""

from __future__ import annotations

import re
from typing import NamedTuple


class Meaning(NamedTuple):
    """A metric in a reader's words.

    Attributes:
        benchmark: what it belongs to; empty if that is not known.
        name: as printed.
        text: what it means, in one or two sentences.
        chance: the value of guessing, where it has one.
    """

    benchmark: str
    name: str
    text: str
    chance: float | None = None


HEADLINES = ("retrieval_image_to_text_recall_at_5",)
"""Metrics that stand for their benchmark though they are not its first."""

GROUNDING, ZERO_SHOT, RETRIEVAL = "Phrase grounding", "Zero-shot classification", "Retrieval"
SENTENCES, INFERENCE = "Sentences about change", "Inference between sentences"

DECISIONS = {
    "auroc": ("AUROC", "The chance that a film with the finding scores above one without it{by}. Chance is 0.5.", 0.5),
    "auprc": ("average precision", "Precision averaged over recall{by}; chance is the share of films with the finding.", None),
    "accuracy": ("accuracy", "How often the finding is rightly said to be there or not{by}.", None),
    "f1": ("F1", "Harmonic mean of precision and recall of the finding{by}.", None),
}
"""Metric of findings → name, meaning, chance; ``{by}`` is how they are told."""

PROBES = {
    "linear_probe": ("Linear probe", "a linear classifier on the frozen encoder"),
    "logistic_regression": ("Logistic regression", "logistic regression on frozen features"),
    "knn": ("Nearest neighbours", "the labels of the nearest training films"),
}
LABEL_EFFICIENCY = re.compile(r"label_efficiency_(linear|fine_tune)_([\d.]+)_percent_(auroc|auprc|accuracy|f1)")
LABEL_EFFICIENCY_MODES = {"linear": "a linear classifier on the frozen encoder", "fine_tune": "the whole encoder, fine-tuned"}

PROGRESSION_PROTOCOLS = {
    "P0": ("", "after fine-tuning on silver labels"),
    "A": (", protocol A", "by a linear classifier on frozen features"),
    "B": (", protocol B", "by a support vector machine on frozen features, in folds over the patients"),
    "C": (", protocol C", "without training, by the nearest of sentences about change"),
}
PROGRESSION_FIGURES = {
    "macro_accuracy": (
        "macro accuracy",
        "Improving, stable or worsening, told from both films {how}. Chance is one in three.",
        1 / 3,
    ),
    "macro_accuracy_beside_current": (
        "gain over the current film alone",
        "Macro accuracy of both films in one pass less that of the current film alone, on the same pairs.",
        0.0,
    ),
    "macro_accuracy_beside_concatenated": (
        "gain over both films encoded alone",
        "Macro accuracy of both films in one pass less that of the two encoded apart, on the same pairs.",
        0.0,
    ),
    "macro_accuracy_beside_registered": (
        "gain over registered films encoded alone",
        "Macro accuracy of both films in one pass less that of the two encoded apart after registration, on the same pairs.",
        0.0,
    ),
    "macro_accuracy_beside_static_concatenated": (
        "gain over both films encoded alone by a model of single films",
        "Macro accuracy of both films in one pass less that of a model that was trained on single films, its two encodings side by side.",
        0.0,
    ),
    "macro_accuracy_beside_static_registered": (
        "gain over registered films encoded alone by a model of single films",
        "The same, with the previous film laid over the current one first: the paper's baseline.",
        0.0,
    ),
    "blank_prior_macro_accuracy_beside_current": (
        "without the previous film, less the current film alone",
        "A control: without its previous film the model should do about as well as from the current film alone, hence about 0.",
        0.0,
    ),
    "swapped_macro_accuracy": (
        "macro accuracy with the films exchanged",
        "A control: read backwards, improving becomes worsening, and counts as right if it is told so.",
        1 / 3,
    ),
    "flipped_share": (
        "changes that turn with the films",
        "A control: how often an improvement or a worsening that was told is told as its reverse when the films are exchanged.",
        None,
    ),
}

RETRIEVAL_DIRECTIONS = {
    "image_to_text": (
        "report of a film",
        "How often a film's own report, or one of the same words, is {among} of the test reports.",
        "Where a film's own report stands in the middle of all cases, 1 the nearest; low is good.",
    ),
    "text_to_image": (
        "film of a report",
        "How often a report's own film is {among} of the test films.",
        "Where a report's own film stands in the middle of all cases, 1 the nearest; low is good.",
    ),
}
AMONG = {1: "the nearest", 5: "among the five nearest", 10: "among the ten nearest"}


def meaning(metric: str) -> Meaning:
    """A metric of ``results.json`` in words; one that is not known keeps its name."""
    if metric in MEANINGS:
        return MEANINGS[metric]
    if found := LABEL_EFFICIENCY.fullmatch(metric):
        mode, share, kind = found.groups()
        name, text, chance = DECISIONS[kind]
        how = LABEL_EFFICIENCY_MODES[mode]
        return Meaning(f"Label efficiency, {how}", f"{share} % of the labels, {name}", text.format(by=f", by {how}"), chance)
    return Meaning("", metric.replace("_", " "), "")


def _probes() -> dict[str, Meaning]:
    return {
        f"{probe}_{kind}": Meaning(title, f"{title}, {name}", text.format(by=f", by {how}"), chance)
        for probe, (title, how) in PROBES.items()
        for kind, (name, text, chance) in DECISIONS.items()
    }


def _zero_shot() -> dict[str, Meaning]:
    return {
        f"zero_shot_{kind}": Meaning(ZERO_SHOT, f"Zero-shot {name}", text.format(by=", from sentences alone"), chance)
        for kind, (name, text, chance) in DECISIONS.items()
    }


def _retrieval() -> dict[str, Meaning]:
    found = {}
    for direction, (what, recall, rank) in RETRIEVAL_DIRECTIONS.items():
        for k, among in AMONG.items():
            found[f"retrieval_{direction}_recall_at_{k}"] = Meaning(
                RETRIEVAL, f"{RETRIEVAL}, {what}, recall at {k}", recall.format(among=among)
            )
        found[f"retrieval_{direction}_median_rank"] = Meaning(RETRIEVAL, f"{RETRIEVAL}, {what}, median rank", rank)
    return found


def _progression() -> dict[str, Meaning]:
    return {
        f"progression_{protocol}_{figure}": Meaning(
            f"Progression from two films{which}", f"Progression from two films{which}, {name}", text.format(how=how), chance
        )
        for protocol, (which, how) in PROGRESSION_PROTOCOLS.items()
        for figure, (name, text, chance) in PROGRESSION_FIGURES.items()
    }


def _segmentation() -> dict[str, Meaning]:
    found = {}
    for decoder in ("linear", "upernet"):
        prefix, which = f"segmentation_{decoder}_dice", f"Segmentation, {decoder} decoder"
        found[prefix] = Meaning(
            which, f"{which}, Dice", "Overlap of predicted and reference masks on a frozen encoder: twice the shared area over both areas."
        )
        found[f"{prefix}_beside_mean_mask"] = Meaning(
            which, f"{which}, gain over the mean mask", "Dice less that of one mask for everybody, the mean of the training masks.", 0.0
        )
    return found


MEANINGS: dict[str, Meaning] = {
    "grounding_cnr": Meaning(
        GROUNDING,
        "Phrase grounding, CNR",
        "Contrast between inside and outside the boxes, in units of noise. Signed: below 0 the map avoids the boxes.",
        0.0,
    ),
    "grounding_cnr_absolute": Meaning(GROUNDING, "Phrase grounding, absolute CNR", "The contrast without its sign, as papers print it."),
    "grounding_cnr_per_box": Meaning(
        GROUNDING, "Phrase grounding, CNR per box", "The contrast of each box of a phrase against all the rest, then averaged.", 0.0
    ),
    "grounding_miou": Meaning(
        GROUNDING, "Phrase grounding, mIoU", "Overlap of the heat map with the reference boxes, averaged over cosine thresholds 0.1 to 0.5."
    ),
    "grounding_miou_best_threshold": Meaning(
        GROUNDING,
        "Phrase grounding, best-threshold mIoU",
        "The same overlap at the one threshold that suits the model best, so that its scale of cosines does not matter.",
    ),
    "grounding_coverage": Meaning(
        GROUNDING, "Phrase grounding, coverage", "How much of the reference boxes lies in the part of the film that the model is shown."
    ),
    "grounding_pointing_game": Meaning(
        GROUNDING, "Phrase grounding, pointing game", "How often the hottest point of the map lies in a box."
    ),
    **_zero_shot(),
    **_retrieval(),
    "sentence_similarity_accuracy": Meaning(
        SENTENCES,
        "Sentences about change, accuracy",
        "Pairs told apart as paraphrase or contradiction by their cosine, at a threshold from other pairs (MS-CXR-T).",
    ),
    "sentence_similarity_auroc": Meaning(
        SENTENCES, "Sentences about change, AUROC", "The chance that a paraphrase is nearer than a contradiction. Chance is 0.5.", 0.5
    ),
    "radnli_two_class_accuracy": Meaning(
        INFERENCE,
        "Inference between sentences, accuracy",
        "Pairs told apart as entailment or contradiction by their cosine, at a threshold from other pairs (RadNLI).",
    ),
    "radnli_two_class_auroc": Meaning(
        INFERENCE,
        "Inference between sentences, AUROC",
        "The chance that an entailed sentence is nearer than a contradicted one. Chance is 0.5.",
        0.5,
    ),
    "radnli_entailment_accuracy": Meaning(
        f"{INFERENCE}, fine-tuned",
        "Inference between sentences, fine-tuned, accuracy",
        "Pairs told apart as entailment, contradiction or neither by a classifier trained for it (RadNLI).",
    ),
    "radnli_entailment_macro_f1": Meaning(
        f"{INFERENCE}, fine-tuned", "Inference between sentences, fine-tuned, macro F1", "F1 of the three relations, averaged."
    ),
    **_progression(),
    **_probes(),
    **_segmentation(),
    "sex_auroc": Meaning(
        "Attributes", "Sex, AUROC", "The chance that a man's film scores above a woman's, from frozen features. Chance is 0.5.", 0.5
    ),
    "projection_auroc": Meaning(
        "Attributes", "Projection, AUROC", "The chance that an AP film scores above a PA film, from frozen features. Chance is 0.5.", 0.5
    ),
    "age_r_squared": Meaning("Attributes", "Age, R²", "The share of the spread of ages that frozen features explain.", 0.0),
    "age_mean_absolute_error": Meaning(
        "Attributes", "Age, mean absolute error", "Years between the predicted age and the true one; low is good."
    ),
}
"""Metric → its meaning, of all but label efficiency, whose shares are a choice; see ``meaning``."""
