"""A power law of data size with its confidence interval: how a score grows, and towards what.

    score(n) = a + b · n^(-c),   c > 0;   a is what endless data would give, b < 0 where more data helps

Least squares: for a given exponent a and b are linear and have their closed form, so the one search is over c (variable projection, Golub
& Pereyra 1973), on a grid of logarithmic steps from 0.02 to 4 that ``scipy.optimize.minimize_scalar`` refines. The interval is that of the
residual bootstrap (Efron & Tibshirani 1993, section 9.4): residuals, widened by √(N / (N - 3)) for the three parameters, are drawn with
replacement, added to the fitted values, and fitted anew. An exponent's interval that ends at the grid's end is not bounded by the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from medvl.metrics.bootstrap import Estimate

EXPONENTS = np.geomspace(0.02, 4.0, 200)
PARAMETERS = 3

Values = NDArray[np.float64]


@dataclass(frozen=True)
class PowerLaw:
    """A fitted law.

    Attributes:
        a, b, c: of a + b · n^(-c).
        replicates: (R, 3) a, b and c of each bootstrap replicate; empty where there are too few points for an interval.
        r_squared: share of the variance that the law explains; ``None`` where there is no variance.
        points: fitted.
    """

    a: float
    b: float
    c: float
    replicates: Values
    r_squared: float | None
    points: int

    def __call__(self, sizes: ArrayLike) -> Values:
        """The law at some sizes."""
        return self.a + self.b * np.asarray(sizes, np.float64) ** -self.c

    def interval(self, sizes: ArrayLike, *, level: float = 0.95) -> tuple[Values, Values] | None:
        """Lower and upper bound of the law at some sizes, point by point; ``None`` where there is no interval."""
        if not len(self.replicates):
            return None
        a, b, c = self.replicates.T[:, :, None]
        low, high = np.quantile(a + b * np.asarray(sizes, np.float64) ** -c, (0.5 - level / 2, 0.5 + level / 2), axis=0)
        return low, high

    def parameters(self, *, level: float = 0.95) -> dict[str, Estimate]:
        """a, b and c with their intervals."""
        found = {}
        for column, name in enumerate(("a", "b", "c")):
            bounds: tuple[float | None, float | None] = (None, None)
            if len(self.replicates):
                low, high = np.quantile(self.replicates[:, column], (0.5 - level / 2, 0.5 + level / 2))
                bounds = (float(low), float(high))
            found[name] = Estimate(float(getattr(self, name)), *bounds, n=self.points)
        return found


def fit_power_law(sizes: ArrayLike, scores: ArrayLike, *, replicates: int = 1000, seed: int = 0) -> PowerLaw | None:
    """Fit the law to N points, several of the same size allowed.

    Args:
        sizes: (N,) above 0.
        scores: (N,) finite.
        replicates: of the bootstrap; an interval needs more than three points.
        seed: of the bootstrap.

    Returns:
        ``None`` with fewer than three distinct sizes, for which no law is determined.

    Raises:
        ValueError: if a size is not above 0, a score is not finite, or their numbers differ.
    """
    n, y = np.asarray(sizes, np.float64), np.asarray(scores, np.float64)
    if n.shape != y.shape or n.ndim != 1 or not (n > 0).all() or not np.isfinite(y).all():
        raise ValueError("a power law needs as many finite scores as sizes above 0")
    if len(np.unique(n)) < PARAMETERS:
        return None
    a, b, c = _refined(n, y)
    fitted = a + b * n**-c
    residuals = y - fitted
    found = np.empty((0, PARAMETERS))
    if len(n) > PARAMETERS and replicates:
        spread = (residuals - residuals.mean()) * math.sqrt(len(n) / (len(n) - PARAMETERS))
        found = _fit_many(n, fitted + np.random.default_rng(seed).choice(spread, (replicates, len(n))))
    variance = float(((y - y.mean()) ** 2).sum())
    return PowerLaw(a, b, c, found, 1 - float((residuals**2).sum()) / variance if variance else None, len(n))


def _refined(n: Values, y: Values) -> tuple[float, float, float]:
    """The best law of one set of scores."""
    start = int(np.argmin([_linear(n, y[None], c)[1][0] for c in EXPONENTS]))
    low, high = EXPONENTS[max(start - 1, 0)], EXPONENTS[min(start + 1, len(EXPONENTS) - 1)]
    best = minimize_scalar(lambda c: _linear(n, y[None], c)[1][0], bounds=(low, high), method="bounded", options={"xatol": 1e-10})
    (a, b), _ = _linear(n, y[None], float(best.x))
    return float(a[0]), float(b[0]), float(best.x)


def _fit_many(n: Values, scores: Values) -> Values:
    """(R, 3): the best law of each row of scores (R, N), to a step of the grid."""
    fits = [_linear(n, scores, c) for c in EXPONENTS]
    best = np.argmin([errors for _, errors in fits], axis=0)  # (R,)
    return np.array([(fits[k][0][0][row], fits[k][0][1][row], EXPONENTS[k]) for row, k in enumerate(best)])


def _linear(n: Values, scores: Values, c: float) -> tuple[tuple[Values, Values], Values]:
    """a and b (R,) for an exponent, and their squared errors (R,); scores (R, N)."""
    x = n**-c
    centred = x - x.mean()
    mean = scores.mean(axis=1)
    b = (scores - mean[:, None]) @ centred / (centred @ centred)
    a = mean - b * x.mean()
    return (a, b), ((scores - a[:, None] - b[:, None] * x) ** 2).sum(axis=1)
