"""A judge made of any function that scores pairs of sentences, such as an inference head on one of our encoders.

Each phrase of the reference is the premise of a pair. The hypothesis is entailed if any pair reaches the threshold, and the phrases that do
are the evidence, best first; so what only follows from several phrases together is not found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import cast

from medvl.judges.judge import EntailmentQuery, SplitReport, SplitSentence, Verdict
from medvl.records import PrivacyPolicy

Pair = tuple[str, str]
"""Premise and hypothesis."""

ScorePairs = Callable[[Sequence[Pair]], Sequence[float]]
"""From pairs to the probability that the premise entails the hypothesis, one each; ``True`` and ``False`` are 1 and 0."""


class CallableJudge:
    """Judges with a function of pairs.

    Attributes:
        name, prompt_hash: see ``Judge``; the hash covers name, version and threshold, for the function itself cannot be hashed.
    """

    def __init__(self, score_pairs: ScorePairs, *, name: str, version: str = "", threshold: float = 0.5) -> None:
        """Name the function.

        Args:
            score_pairs: see ``ScorePairs``; gets each distinct pair once.
            name: what results call it, with the prefix ``callable:``.
            version: of the function, e.g. the hash of a checkpoint.
            threshold: the least probability of an entailment.
        """
        self._score_pairs, self.threshold = score_pairs, threshold
        self.name = f"callable:{name}"
        self.prompt_hash = hashlib.sha256(json.dumps([name, version, threshold]).encode()).hexdigest()

    def admit(self, policy: PrivacyPolicy, *, dataset: str) -> None:
        """Any policy: the function runs in this process."""

    def entail(self, queries: Sequence[EntailmentQuery]) -> list[Verdict]:
        """One verdict per query.

        Raises:
            ValueError: if the function does not return one probability for each pair.
        """
        pairs = list(dict.fromkeys((phrase, query.hypothesis) for query in queries for phrase in query.reference))
        found = list(self._score_pairs(pairs)) if pairs else []
        if len(found) != len(pairs) or not all(0 <= float(score) <= 1 for score in found):
            raise ValueError(f"{self.name} must return one probability for each of {len(pairs)} pairs, got {len(found)} values")
        scores = dict(zip(pairs, map(float, found), strict=True))
        return [self._verdict(query, scores) for query in queries]

    def split(self, reports: Sequence[str], *, language: str = "en") -> list[SplitReport]:
        """Sentences as phrases: a function of pairs cannot split further."""
        from medvl.lexicon.sentences import split_sentences
        from medvl.lexicon.terms import Language

        texts = [[sentence.text for sentence in split_sentences(report, cast(Language, language))] for report in reports]
        return [SplitReport(tuple(SplitSentence(text, (text,)) for text in sentences)) for sentences in texts]

    def _verdict(self, query: EntailmentQuery, scores: dict[Pair, float]) -> Verdict:
        by_score = sorted(dict.fromkeys(query.reference), key=lambda phrase: -scores[phrase, query.hypothesis])
        evidence = tuple(phrase for phrase in by_score if scores[phrase, query.hypothesis] >= self.threshold)
        best = f"best {scores[by_score[0], query.hypothesis]:.3f}, threshold {self.threshold:g}" if by_score else "the reference is empty"
        return Verdict("entailment" if evidence else "not_entailment", evidence, explanation=best)
