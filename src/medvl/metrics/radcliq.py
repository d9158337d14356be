"""RadCliQ (Yu et al., Patterns 2023): four metrics combined to the number of errors that a radiologist would count. Lower is better.

    RadCliQ = Σ_i c_i · (x_i − μ_i) / s_i + b

with the coefficients of the released models (version 0 fitted on 200 pairs of ReXVal, version 1 on 160). The features are

    radgraph_combined   mean of RadGraph's entity and relation F1 (``radcliq`` of ``radgraph.radgraph_f1``)
    bertscore           distilroberta-base, layer 5, rescaled with the baseline, without idf (RadEval takes idf over the current set, so its
                        RadCliQ depends on the set and is another number)
    semb_score          cosine of CheXbert's [CLS] embeddings
    bleu_score          BLEU-2 of each report, tokenizer ``radcliq`` (no effect in version 1)

The value may be 0 or negative for good reports, so that its inverse (ReXrank's 1/RadCliQ-v1) jumps and turns round; the inverse is
therefore an extra, of the mean, and undefined where the mean is not positive. ``radcliq`` takes features that are at hand,
``radcliq_of_reports`` computes them from reports with the models that it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medvl.metrics.bootstrap import Statistic, made_of, mean_of
from medvl.metrics.chexbert import similarity
from medvl.metrics.radgraph import Annotator, radgraph_f1
from medvl.metrics.scores import Columns, Scores, scores
from medvl.metrics.text.bertscore import Encoder, bertscore
from medvl.metrics.text.bleu import bleu
from medvl.runtime.errors import UserError

FEATURES = ("radgraph_combined", "bertscore", "semb_score", "bleu_score")


class Embedder(Protocol):
    """What CheXbert similarity needs: ``models.chexbert.CheXbertLabeller``, say."""

    def embed(self, texts: Sequence[str]) -> ArrayLike:
        """(N, D), one vector per text."""


@dataclass(frozen=True, slots=True)
class _Model:
    """Means, scales and coefficients in the order of ``FEATURES``, and the intercept."""

    mean: tuple[float, float, float, float]
    scale: tuple[float, float, float, float]
    coefficients: tuple[float, float, float, float]
    intercept: float

    def __call__(self, features: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        if missing := [name for name in FEATURES if name not in features]:
            raise UserError(f"RadCliQ needs the feature {', '.join(map(repr, missing))} (given: {', '.join(map(str, features))})")
        columns = np.stack(np.broadcast_arrays(*(np.asarray(features[name], np.float64) for name in FEATURES)), axis=-1)  # (…, 4)
        return (columns - self.mean) / self.scale @ np.asarray(self.coefficients) + self.intercept


_V0 = _Model(
    mean=(0.5398376019082272, 0.6312549595000001, 0.7716797866672277, 0.4607372064809605),
    scale=(0.3018344440559102, 0.22466950746141123, 0.24750333805236252, 0.30336670936092264),
    coefficients=(-0.4796252644863446, -0.6762170542369337, -0.46366575161751994, 0.2165861905287535),
    intercept=1.641666666666666,
)
_V1 = _Model(
    mean=(0.5379231241355762, 0.6175725628125001, 0.7647942121140658, 0.44738335396242174),
    scale=(0.3028258411486429, 0.22430938459304575, 0.2539439110169773, 0.2989271671041838),
    coefficients=(-0.37708368261038905, -0.37030009974480316, -0.25261621789593225, 4.315048405024756e-12),
    intercept=2.466552561323256e-10,
)


def v0(features: Mapping[str, ArrayLike]) -> float | NDArray[np.float64]:
    """RadCliQ-v0 of the four ``FEATURES``. Example: all 0.5 → 2.637013690555201.

    Args:
        features: by name, numbers or arrays of one shape; other names are not read.

    Returns:
        A number for numbers, an array for arrays.

    Raises:
        UserError: naming the features that are missing.
    """
    return _number_or_array(_V0(features))


def v1(features: Mapping[str, ArrayLike]) -> float | NDArray[np.float64]:
    """RadCliQ-v1 of the four ``FEATURES``, arguments as for ``v0``. Example: all 0.5 → 0.5047264002612145."""
    return _number_or_array(_V1(features))


def radcliq(features: Mapping[str, ArrayLike], *, version: Literal["v0", "v1"] = "v1") -> Scores:
    """RadCliQ of N reports with its mean, and the inverse of the mean as an extra.

    Args:
        features: by name, each (N,).
        version: of the coefficients.

    Returns:
        ``radcliq_v1`` (or ``_v0``; lower is better) and ``radcliq_v1_inverse`` (higher is better; NaN where the mean is not positive).

    Raises:
        UserError: naming the features that are missing.
    """
    values = np.atleast_1d((_V0 if version == "v0" else _V1)(features))
    name = f"radcliq_{version}"
    return scores(
        "radcliq", {name: values}, {"version": 1, "coefficients": version}, aggregate=with_inverse, lower_is_better=frozenset([name])
    )


def radcliq_of_reports(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    annotator: Annotator,
    encoder: Encoder,
    baseline: tuple[float, float, float] | None,
    embedder: Embedder,
    radgraph: str,
    version: Literal["v0", "v1"] = "v1",
) -> Scores:
    """RadCliQ of reports, with its four features per report. The official number needs the official models for all of them.

    Args:
        predictions, references: N reports each.
        annotator, radgraph: RadGraph's graphs, and the name of the model that made them.
        encoder, baseline: of BERTScore: distilroberta-base, layer 5, and its line of the package's baseline file.
        embedder: CheXbert.
        version: of the coefficients.

    Returns:
        As ``radcliq``, with the features beside it.

    Raises:
        ValueError: if the lists differ in length or are empty.
    """
    parts = {
        "radgraph_combined": (radgraph_f1(predictions, references, annotator=annotator, model=radgraph), "radcliq"),
        "bertscore": (bertscore(predictions, references, encoder=encoder, baseline=baseline), "f1"),
        "semb_score": (similarity(predictions, references, embedder=embedder.embed), "semb_score"),
        "bleu_score": (bleu(predictions, references, tokenizer="radcliq"), "bleu_2"),
    }
    features = {name: part.per_sample[column] for name, (part, column) in parts.items()}
    found = radcliq(features, version=version)
    protocol = {**found.protocol, **{name: part.signature for name, (part, _) in parts.items()}}
    columns = {**found.per_sample, **features}
    return scores("radcliq", columns, protocol, aggregate=with_inverse, lower_is_better=found.lower_is_better)


def with_inverse(columns: Columns, protocol: Mapping[str, Any]) -> dict[str, Statistic]:
    """The mean, 1 / mean where the mean is positive, and the means of the features where they are at hand."""
    name = f"radcliq_{protocol['coefficients']}"
    mean = mean_of(columns[name])

    def inverse(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        value = mean(weights)
        return np.divide(1.0, value, out=np.full(len(value), np.nan), where=value > 0)

    features = {feature: mean_of(columns[feature]) for feature in FEATURES if feature in columns}
    return {name: mean, f"{name}_inverse": made_of([mean], inverse), **features}


def _number_or_array(values: NDArray[np.float64]) -> float | NDArray[np.float64]:
    return values if values.ndim else float(values)
