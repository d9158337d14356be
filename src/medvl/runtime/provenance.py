"""Where a result comes from: code, versions, data, seed, hardware and command line, written beside every result."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
PACKAGES = (
    "medvl",
    "torch",
    "torchvision",
    "transformers",
    "lightning",
    "timm",
    "pydicom",
    "numpy",
    "pandas",
    "pyarrow",
    "opencv-python-headless",
)


def provenance(*, seed: int | None = None, data: dict[str, str] | None = None, **facts: Any) -> dict[str, Any]:
    """The facts of this run as plain JSON values.

    Args:
        seed: the run's seed.
        data: dataset name → fingerprint (hashes only, never contents).
        facts: further plain values, e.g. the parameter count.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "git": git_state(),
        "packages": versions(),
        "hardware": hardware(),
        "seed": seed,
        "data": data or {},
        **facts,
    }


def git_state() -> dict[str, Any] | None:
    """The revision of the code and whether it has uncommitted changes; ``None`` outside a checkout."""
    try:
        return {"revision": _git("rev-parse", "HEAD"), "dirty": bool(_git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    folder = Path(__file__).resolve().parent
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def versions() -> dict[str, str]:
    """Installed versions of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Processor, core count and accelerators; torch is asked only where it is already loaded."""
    facts: dict[str, Any] = {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()}
    torch = sys.modules.get("torch")
    if torch is not None:
        facts["threads"] = torch.get_num_threads()
        facts["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return facts
