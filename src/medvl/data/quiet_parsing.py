"""Keep what parsers of images and headers remark out of logs and warnings: pydicom and Pillow quote the values that they stumble over."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_parsing() -> Iterator[None]:
    """Neither a warning nor a line of pydicom's log leaves the block; exceptions do, and their messages are the caller's to withhold."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)
