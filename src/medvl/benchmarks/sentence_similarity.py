"""Do sentences of one meaning lie nearer to each other than sentences that contradict? The cosine of projected sentence embeddings.

Two tasks of BioViL-T (Bannur et al. 2023): ``sentence_similarity`` on MS-CXR-T (paraphrases against contradictions about change; subsets
RadGraph and Swaps) and ``radnli_two_class`` on RadNLI (entailments against contradictions). With embeddings u, v of unit length,

    score = u·v      ROC-AUC over all pairs      accuracy at a threshold that the other folds chose (``metrics/threshold_accuracy.py``)

Other relations than the two are left out and counted. Departures: folds take pairs that share a sentence together (``grouped``; the
published folds are plain), and intervals are added, which draw such groups; a replicate keeps the thresholds and does not choose anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medvl.benchmarks.classification import among
from medvl.benchmarks.embedding import TextEncoder, device_of, text_embeddings
from medvl.benchmarks.results import Evaluation, Roles, figure
from medvl.metrics.bootstrap import mean_of, resample
from medvl.metrics.classification import auroc_of
from medvl.metrics.threshold_accuracy import HeldOutAnswers, held_out_answers, linked_groups
from medvl.records import SentencePair
from medvl.runtime.errors import UserError, did_you_mean
from medvl.runtime.privacy import strictest

Task = Literal["sentence_similarity", "radnli_two_class"]
AGREEING: dict[Task, str] = {"sentence_similarity": "paraphrase", "radnli_two_class": "entailment"}
OPPOSED = "contradiction"


class UnusablePairs(UserError):
    """Sentence pairs that cannot be measured: one of the relations is not among them, a sentence is empty, or they are too few."""


@dataclass(frozen=True)
class SentenceSimilarity:
    """The protocol; ``evaluate`` runs it.

    Attributes:
        name: the task, which names the figures and the two relations.
        source: the dataset whose pairs it is meant for, as ``data`` names its folder.
        subsets: only pairs of these; all by default. MS-CXR-T: RadGraph, Swaps; RadNLI: dev, test.
        folds: of the cross-validation of the threshold.
        grouped: whether pairs that share a sentence stand in one fold.
        batch_size: sentences embedded at once.
        replicates, seed: of the bootstrap over groups of pairs that share a sentence; the seed is that of the folds as well.
    """

    name: Task
    source: Literal["ms_cxr_t", "radnli"]
    subsets: Sequence[str] | None = None
    folds: int = 10
    grouped: bool = True
    batch_size: int = 256
    replicates: int = 1000
    seed: int = 0

    def evaluate(self, model: TextEncoder, pairs: Sequence[SentencePair], *, untrained: TextEncoder | None = None) -> Evaluation:
        """Measure a model, and an untrained one beside it.

        Args:
            model: in evaluation mode, as is ``untrained``.
            pairs: of the source; those of other subsets and relations are left out.
            untrained: the same architecture before training.

        Raises:
            UnusablePairs: if a relation has no pair, a sentence is empty, or there are fewer groups of pairs than folds.
        """
        chosen = self._chosen(pairs)
        truth = np.array([pair.relation == AGREEING[self.name] for pair in chosen])
        groups = linked_groups((same_sentence(pair.text_1), same_sentence(pair.text_2)) for pair in chosen)
        models = {"trained": model} | ({"untrained": untrained} if untrained is not None else {})
        scores = {role: self.similarities(candidate, chosen) for role, candidate in models.items()}
        answers = {role: self._answers(truth, values, groups, chosen) for role, values in scores.items()}
        weights = resample(groups, replicates=self.replicates, seed=self.seed)

        def figures(member: NDArray[np.bool_]) -> dict[str, dict[str, Any]]:
            accuracy: Roles = {role: among(member, mean_of(given.correct[member])) for role, given in answers.items()}
            auroc: Roles = {role: among(member, auroc_of(truth[member], values[member])) for role, values in scores.items()}
            named = {f"{self.name}_accuracy": accuracy, f"{self.name}_auroc": auroc}
            return {metric: figure(roles, weights, n=int(member.sum())) for metric, roles in named.items()}

        subsets = np.array([pair.subset or "unnamed" for pair in chosen])
        by_subset = {subset: figures(subsets == subset) for subset in sorted(set(subsets.tolist()))}
        metrics = figures(np.ones(len(chosen), bool))
        return Evaluation(
            benchmark=self.name,
            metrics=metrics,
            per_finding={metric: {subset: found[metric] for subset, found in by_subset.items()} for metric in metrics},
            protocol=self._protocol(pairs, chosen, groups, answers),
            tables={f"{self.name}_pairs": _table(chosen, groups, scores, answers)},
            privacy=strictest(pair.privacy for pair in chosen),
        )

    def similarities(self, model: TextEncoder, pairs: Sequence[SentencePair]) -> NDArray[np.float64]:
        """(N,) the cosine of the two sentences of each pair, in [-1, 1]; every distinct sentence is embedded once.

        Raises:
            ValueError: if the model is in training mode.
        """
        device_of(model)  # refuses a model in training mode
        by_text = text_embeddings(model, [text for pair in pairs for text in (pair.text_1, pair.text_2)], batch_size=self.batch_size)
        return np.array([float(by_text[pair.text_1] @ by_text[pair.text_2]) for pair in pairs])

    def _chosen(self, pairs: Sequence[SentencePair]) -> list[SentencePair]:
        known = {pair.subset or "unnamed" for pair in pairs}
        if self.subsets is not None and (unknown := [subset for subset in self.subsets if subset not in known]):
            raise UnusablePairs(f"{self.name}: subsets names {unknown[0]!r}, of which there is no pair{did_you_mean(unknown[0], known)}")
        relations = (AGREEING[self.name], OPPOSED)
        inside = [pair for pair in pairs if self.subsets is None or (pair.subset or "unnamed") in self.subsets]
        chosen = [pair for pair in inside if pair.relation in relations]
        for relation in relations:
            if not any(pair.relation == relation for pair in chosen):
                raise UnusablePairs(f"{self.name} needs pairs of {' and '.join(relations)}; none of {len(inside)} is {relation!r}")
        require_texts(chosen)
        return chosen

    def _answers(
        self, truth: NDArray[np.bool_], scores: NDArray[np.float64], groups: Sequence[str], pairs: Sequence[SentencePair]
    ) -> HeldOutAnswers:
        apart = groups if self.grouped else [f"{pair.pair_id}\n{pair.text_1}\n{pair.text_2}" for pair in pairs]
        if len(set(apart)) < self.folds:
            raise UnusablePairs(
                f"{self.name}: {len(pairs)} pairs in {len(set(apart))} groups cannot make {self.folds} folds; take fewer folds"
            )
        return held_out_answers(truth, scores, apart, folds=self.folds, seed=self.seed)

    def _protocol(
        self, pairs: Sequence[SentencePair], chosen: Sequence[SentencePair], groups: Sequence[str], answers: Mapping[str, HeldOutAnswers]
    ) -> dict[str, Any]:
        counted = Counter(pair.relation for pair in chosen)
        given, kept = (Counter(f"{pair.subset or 'unnamed'}, {pair.relation}" for pair in some) for some in (pairs, chosen))
        return {
            **{name: getattr(self, name) for name in ("source", "folds", "grouped", "batch_size", "replicates", "seed")},
            "subsets": list(self.subsets) if self.subsets is not None else None,
            "similarity": "cosine of projected embeddings",
            "threshold": "highest accuracy on the other folds, midway between scores",
            "thresholds": {role: [_finite(t) for t in found.thresholds.tolist()] for role, found in answers.items()},
            "pairs": dict(counted),
            "majority_share": max(counted.values()) / len(chosen),
            "sentence_groups": len(set(groups)),
            "largest_group": max(Counter(groups).values()),
            "left_out": dict(given - kept),
        }


def same_sentence(text: str) -> str:
    """A sentence without what makes no other sentence of it: case, spaces, and the stop at its end."""
    return " ".join(text.lower().split()).rstrip(".!? ")


def require_texts(pairs: Sequence[SentencePair]) -> None:
    """Check that both sentences of every pair say something.

    Raises:
        UnusablePairs: naming the pair.
    """
    for number, pair in enumerate(pairs, start=1):
        if not (same_sentence(pair.text_1) and same_sentence(pair.text_2)):
            raise UnusablePairs(f"a sentence of pair {pair.pair_id or number} is empty; mend it in its file")


def _table(
    pairs: Sequence[SentencePair], groups: Sequence[str], scores: Mapping[str, NDArray[np.float64]], answers: Mapping[str, HeldOutAnswers]
) -> pd.DataFrame:
    """One row per model and pair: the pair, its similarity, and how it was answered."""
    columns = ("pair_id", "subset", "relation", "language", "text_1", "text_2")
    rows = pd.DataFrame({name: [getattr(pair, name) for pair in pairs] for name in columns}).assign(group=pd.factorize(np.array(groups))[0])
    parts = [
        rows.assign(
            model=role,
            similarity=scores[role],
            fold=given.folds,
            threshold=given.thresholds[given.folds],
            correct=given.correct,
        )
        for role, given in answers.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _finite(threshold: float) -> float | None:
    """The threshold as JSON can say it: ``None`` where it is infinite."""
    return threshold if np.isfinite(threshold) else None
