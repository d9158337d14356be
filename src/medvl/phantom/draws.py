"""Randomness as a pure function of its key: the same key gives the same draws on every platform and in every order of calls."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(*key: str | int) -> np.random.Generator:
    """A random generator for a key such as ``(seed, "patient", 17, "shape")``; different keys are independent."""
    return np.random.Generator(np.random.PCG64(integer(*key)))


def integer(*key: str | int) -> int:
    """A 63-bit number for a key: an even hash, for seeds and identifiers."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1


def hexadecimal(*key: str | int) -> str:
    """64 hexadecimal digits for a key."""
    return hashlib.sha256(repr(key).encode()).hexdigest()
