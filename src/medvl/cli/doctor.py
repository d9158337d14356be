"""medvl doctor [data_root=data]

Checks the installation: Python and package versions (and the malicious releases of lightning), the image decoders, accelerators, free
disk, and which dataset folders are there. Exit status 1 if something must be mended.

  medvl doctor
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from medvl.cli import app
from medvl.runtime.provenance import versions

MALICIOUS_LIGHTNING = ("2.6.2", "2.6.3")
DATASET_FOLDERS = ("mimic-cxr", "mimic-cxr-jpg", "padchest-gr", "ms-cxr", "ms-cxr-t", "open-i", "radnli", "chest-imagenome", "chexmask")


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's report; ``ok`` is ``None`` for a mere fact."""

    name: str
    found: str
    ok: bool | None = None


def main(overrides: list[str]) -> None:
    """Run the verb."""
    app.run("doctor", task, overrides)


def task(config: DictConfig) -> dict[str, Any] | None:
    """Run all checks and print them as a table."""
    if config.dry_run:
        return app.show_plan(config, {"missing": []})
    checks = [*_software(), *_decoders(), *_hardware(), *_folders(Path(config.data_root))]
    if not config.json:
        _print(checks)
    return {"ok": all(c.ok is not False for c in checks), "checks": [asdict(c) for c in checks]}


def _software() -> list[Check]:
    found = versions()
    checks = [Check("python", found.pop("python"), sys.version_info >= (3, 11))]
    for name, version in found.items():
        checks.append(Check(name, version, version not in MALICIOUS_LIGHTNING if name == "lightning" else None))
    return checks


def _decoders() -> list[Check]:
    from pydicom import uid
    from pydicom.pixels import get_decoder

    syntaxes = (uid.RLELossless, uid.JPEGBaseline8Bit, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.HTJ2KLossless)
    return [
        Check(f"DICOM {syntax.name}", "ready" if get_decoder(syntax).is_available else "no decoder: pip install 'medvl[dicom]'")
        for syntax in syntaxes
    ]


def _hardware() -> list[Check]:
    import torch

    gpus = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    mps = "MPS" if torch.backends.mps.is_available() else ""
    free = shutil.disk_usage(".").free / 1e9
    return [
        Check("accelerator", gpus or mps or f"none: {torch.get_num_threads()} CPU threads"),
        Check("free disk", f"{free:.0f} GB", free > 5),
    ]


def _folders(root: Path) -> list[Check]:
    return [Check(f"data {name}", str(root / name) if (root / name).is_dir() else f"not at {root / name}") for name in DATASET_FOLDERS]


def _print(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "check", "found", box=None)
    for check in checks:
        table.add_row({True: "[green]✓", False: "[red]✗", None: "·"}[check.ok], check.name, check.found)
    Console().print(table)
