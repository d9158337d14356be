"""Masks as run lengths, in the two dialects of the public releases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def chexmask_runs(mask: NDArray[np.bool_]) -> str:
    """CheXmask's form: ``start length …``, row by row, starts counted from 1; empty for an empty mask."""
    starts, lengths = _runs(mask.ravel())
    return " ".join(map(str, np.stack([starts + 1, lengths], axis=1).ravel().tolist()))


def siim_runs(mask: NDArray[np.bool_]) -> str:
    """SIIM-ACR's form: ``gap length …``, column by column, each gap counted from the end of the run before; ``-1`` for an empty mask."""
    starts, lengths = _runs(np.ascontiguousarray(mask.T).ravel())
    if not len(starts):
        return "-1"
    gaps = starts - np.concatenate([[0], (starts + lengths)[:-1]])
    return " ".join(map(str, np.stack([gaps, lengths], axis=1).ravel().tolist()))


def _runs(flat: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat[0]:
        edges = np.concatenate([[0], edges])
    if flat[-1]:
        edges = np.concatenate([edges, [flat.size]])
    return edges[::2], edges[1::2] - edges[::2]
