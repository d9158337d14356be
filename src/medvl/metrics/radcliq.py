"""RadCliQ (Yu et al., Patterns 2023): four metrics combined to the number of errors that a radiologist would count. Lower is better.

    RadCliQ = Σ_i c_i · (x_i − μ_i) / s_i + b

with the coefficients of the released models (version 0 fitted on 200 pairs of ReXVal, version 1 on 160). The features are

    radgraph_combined   mean of RadGraph's entity and relation F1 (``radgraph.radgraph_f1`` with ``variant="radcliq"``)
    bertscore           distilroberta-base, layer 5, rescaled with the baseline, without idf (RadEval takes idf over the current set, so its
                        RadCliQ depends on the set and is another number)
    semb_score          cosine of CheXbert's [CLS] embeddings
    bleu_score          BLEU-2 of each report, tokenizer ``radcliq`` (no effect in version 1)

The value may be 0 or negative for good reports, so that its inverse (ReXrank's 1/RadCliQ-v1) jumps and turns round; the inverse is
therefore an extra, of the mean, and undefined where the mean is not positive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medvl.metrics.bootstrap import Statistic, mean_of
from medvl.metrics.scores import Columns, Scores, scores
from medvl.runtime.errors import UserError

FEATURES = ("radgraph_combined", "bertscore", "semb_score", "bleu_score")


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


def with_inverse(columns: Columns, protocol: Mapping[str, Any]) -> dict[str, Statistic]:
    """The mean, and 1 / mean where the mean is positive."""
    name = f"radcliq_{protocol['coefficients']}"
    mean = mean_of(columns[name])

    def inverse(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        value = mean(weights)
        return np.divide(1.0, value, out=np.full(len(value), np.nan), where=value > 0)

    return {name: mean, f"{name}_inverse": inverse}


def _number_or_array(values: NDArray[np.float64]) -> float | NDArray[np.float64]:
    return values if values.ndim else float(values)
