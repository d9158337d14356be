"""Memory between steps: keep what is freed, instead of giving it back to the system and faulting it in again.

A training step frees and allocates the same large blocks as the last. By default glibc returns blocks above 32 MiB at once, and every
page of the next one must be mapped and zeroed anew, which on a CPU can cost more than filling it.
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>


def keep_freed_memory() -> bool:
    """Let this process reuse freed blocks up to 1 GiB and keep up to 2 GiB of free memory; false where the C library has no such knob."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, 2**30)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
