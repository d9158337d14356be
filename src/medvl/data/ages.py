"""Ages as headers and tables of public releases spell them."""

from __future__ import annotations

OLDEST = 120.0  # years; NIH's films and what was drawn from them hold some ages above


def parse_age(text: str | None) -> float | None:
    """Years from a DICOM age (``061Y``, ``007M``) or a plain number (``61``, as in RSNA's headers).

    Ages in months, weeks or days are zero years; empty and impossible ones (above 120 years) are ``None``.

    Raises:
        ValueError: if it is not an age.
    """
    text = (text or "").strip().upper()
    if not text:
        return None
    years = float(text.rstrip("YMWD"))
    if text[-1] in "MWD":
        return 0.0
    return years if 0 <= years <= OLDEST else None
