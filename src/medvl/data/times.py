"""Dates and times as the releases write them."""

from __future__ import annotations

from datetime import datetime


def parse_time(date: str | None, time: str | None) -> datetime | None:
    """A date ``YYYYMMDD`` and a time ``HHMMSS.fff`` whose leading zeros may be lost: ``63014.0`` is half past six and 14 seconds.

    A missing time of day is midnight; without a date there is no time.

    Raises:
        ValueError: if either is not a date or a time.
    """
    if date is None:
        return None
    whole, _, fraction = (time or "0").partition(".")
    digits = date.partition(".")[0] + whole.zfill(6) + fraction[:6].ljust(6, "0")
    if len(digits) != 20 or not digits.isdecimal():
        raise ValueError(f"{date!r} and {time!r} are not a date and a time")
    return datetime.strptime(digits, "%Y%m%d%H%M%S%f")
