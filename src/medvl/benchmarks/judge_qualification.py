"""Is this judge fit to judge? Its verdicts against gold labels, and against itself.

Binary, as RadFact scores: entailment against all else (neutral, contradiction). With true and false positives and negatives

    accuracy = (TP + TN) / N      precision = TP / (TP + FP)      recall = TP / (TP + FN)
    kappa = (accuracy − chance) / (1 − chance),   chance = [(TP+FP)(TP+FN) + (FN+TN)(FP+TN)] / N²      (Cohen 1960)

with intervals over resampled clusters (studies, pairs). A failure counts as not entailed, and is counted. Repeat agreement is the share of
equal verdicts when all is asked a second time past the cache; fidelity is that between batched and single questions. Where a gold label
came with evidence, ``evidence_jaccard`` compares it with the judge's over the entailments that both see.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medvl.benchmarks.results import Evaluation, figure
from medvl.data.entailment_gold import GoldEntailment
from medvl.judges.judge import EntailmentQuery, Judge, Verdict
from medvl.metrics.bootstrap import Statistic, mean_of, resample
from medvl.records import PrivacyPolicy

NAMES = ("accuracy", "precision", "recall", "kappa")


def qualify(
    judge: Judge,
    gold: Sequence[GoldEntailment],
    *,
    dataset: str,
    privacy: PrivacyPolicy,
    again: Judge | None = None,
    single: Judge | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Score a judge on gold labels.

    Args:
        judge: to be qualified.
        gold: what experts say; at least one.
        dataset, privacy: of the gold texts; every judge must admit them before it is asked.
        again: the same judge without a cache, asked a second time for the repeat agreement.
        single: the same judge with one hypothesis per question, for the fidelity of batches.
        replicates, seed: of the bootstrap.

    Raises:
        PrivacyError: if a judge may not see these texts.
    """
    queries = [EntailmentQuery(item.reference, item.hypothesis, item.language) for item in gold]
    for asked in filter(None, (judge, again, single)):
        asked.admit(privacy, dataset=dataset)
    verdicts = judge.entail(queries)
    table = _table(gold, verdicts)
    weights = resample(table["cluster"].to_numpy(), replicates=replicates, seed=seed)
    said, true = (table["status"] == "entailment").to_numpy(), (table["relation"] == "entailment").to_numpy()
    everyone = np.ones(len(table), bool)
    metrics = {name: _figure(name, said, true, everyone, weights) for name in NAMES}
    metrics["evidence_jaccard"] = figure(
        {"trained": mean_of(table["evidence_jaccard"])}, weights, n=int(table["evidence_jaccard"].notna().sum())
    )
    for name, other in (("repeat_agreement", again), ("batch_fidelity", single)):
        if other is not None:
            equal = [first.status == second.status for first, second in zip(verdicts, other.entail(queries), strict=True)]
            metrics[name] = figure({"trained": mean_of(equal)}, weights, n=len(equal))
    per_category = {
        name: {
            category: _figure(name, said, true, (table["category"] == category).to_numpy(), weights)
            for category in sorted(set(table["category"]))
        }
        for name in NAMES
    }
    per_category["accuracy"] |= {
        f"gold {relation}": _figure("accuracy", said, true, (table["relation"] == relation).to_numpy(), weights)
        for relation in sorted(set(table["relation"]))
    }
    protocol = {
        "judge": judge.name,
        "prompt_hash": judge.prompt_hash,
        "allowances": dict(getattr(judge, "allowances", {})),
        "counters": dict(getattr(judge, "counters", {})),
        "dataset": dataset,
        "gold": dict(Counter(item.relation for item in gold)),
        "failures": dict(Counter(verdict.failure for verdict in verdicts if verdict.failure)),
        "replicates": replicates,
        "seed": seed,
    }
    return Evaluation("judge_qualification", metrics, per_category, protocol, {"verdicts": table}, privacy=privacy)


def _table(gold: Sequence[GoldEntailment], verdicts: Sequence[Verdict]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = [
        {
            "cluster": item.cluster,
            "category": item.category,
            "relation": item.relation,
            "status": verdict.status,
            "failure": verdict.failure,
            "evidence_jaccard": _jaccard(item, verdict),
            "reference": list(item.reference),
            "hypothesis": item.hypothesis,
            "evidence": list(verdict.evidence),
            "explanation": verdict.explanation,
        }
        for item, verdict in zip(gold, verdicts, strict=True)
    ]
    return pd.DataFrame(rows)


def _jaccard(item: GoldEntailment, verdict: Verdict) -> float:
    """Overlap of the two sets of evidence; NaN unless both see an entailment and the gold names evidence."""
    if not item.evidence or item.relation != "entailment" or verdict.status != "entailment":
        return np.nan
    first, second = set(item.evidence), set(verdict.evidence)
    return len(first & second) / len(first | second)


def _figure(
    name: str, said: NDArray[np.bool_], true: NDArray[np.bool_], members: NDArray[np.bool_], weights: NDArray[np.uint16]
) -> dict[str, Any]:
    return figure({"trained": agreement(name, said, true, members)}, weights, n=int(members.sum()))


def agreement(name: str, said: NDArray[np.bool_], true: NDArray[np.bool_], members: NDArray[np.bool_]) -> Statistic:
    """Accuracy, precision, recall or kappa as a statistic of weights.

    Args:
        name: one of ``NAMES``.
        said, true: (N,) whether the judge and the gold say entailment.
        members: (N,) who counts.

    Example: 2 TP, 1 FP, 1 FN, 6 TN have accuracy 0.8, precision 2/3, recall 2/3, kappa (0.8 − 0.58) / 0.42 = 0.5238.
    """
    cells = np.stack([said & true, said & ~true, ~said & true, ~said & ~true], axis=1) & members[:, None]  # (N, 4)

    def statistic(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        tp, fp, fn, tn = (rows @ cells.astype(np.float64)).T
        total = tp + fp + fn + tn
        with np.errstate(divide="ignore", invalid="ignore"):
            if name == "precision":
                return tp / (tp + fp)
            if name == "recall":
                return tp / (tp + fn)
            accuracy = (tp + tn) / total
            if name == "accuracy":
                return accuracy
            chance = ((tp + fp) * (tp + fn) + (fn + tn) * (fp + tn)) / total**2
            return np.where(chance == 1, np.nan, (accuracy - chance) / (1 - chance))

    return statistic
