"""A split by the hash of a patient's identifier, for labelled sets that were released in one piece.

It depends on nothing but the identifier: adding or removing patients moves nobody, and every machine agrees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from medvl.runtime.errors import UserError

WHOLE = 2**64


def hashed_split(patient_id: str, shares: Mapping[str, float]) -> str:
    """The split of a patient.

    Args:
        shares: split → expected share of the patients; they sum to 1, and their order matters.

    Raises:
        UserError: if the shares are negative or do not sum to 1.
    """
    if any(share < 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6:
        raise UserError(f"the shares of the splits must sum to 1, got {dict(shares)}")
    place = int.from_bytes(hashlib.sha256(patient_id.encode()).digest()[:8], "big") / WHOLE
    for name, share in shares.items():
        if place < share:
            return name
        place -= share
    return next(name for name in reversed(list(shares)) if shares[name] > 0)  # rounding left a sliver above the last
