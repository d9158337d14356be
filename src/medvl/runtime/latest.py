"""The latest run of a name: ``outputs/train/quickstart`` leads to ``outputs/train/quickstart-0123abcd``, the last one that was finished.

People and README name the link; a configuration names the run itself, so that what was computed from it says the same tomorrow.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

RUN = re.compile(r"(?P<name>.+)-[0-9a-f]{8}")  # as ``run_folder`` names it


def link_latest(folder: Path) -> None:
    """Let the name of a run lead to its folder, in place of an earlier run; a file or folder of that name stays as it is.

    Raises:
        ValueError: if the folder is not named as ``run_folder`` does.
    """
    if (named := RUN.fullmatch(folder.name)) is None:
        raise ValueError(f"{folder} is not the folder of a run")
    link = folder.with_name(named["name"])
    if link.is_symlink() or not link.exists():
        temporary = link.with_name(f".{link.name}.{os.getpid()}.tmp")
        temporary.symlink_to(folder.name)
        os.replace(temporary, link)


def followed(path: Path) -> Path:
    """A path in which the link to a latest run is the run itself."""
    for part in (path, *path.parents):
        if os.path.islink(part):  # of any text: Path.is_symlink raises where it is too long for a name
            target = os.readlink(part)
            named = RUN.fullmatch(target)
            if named is not None and named["name"] == part.name:
                return part.with_name(target) / path.relative_to(part)
    return path


def follow_links(config: DictConfig | ListConfig) -> None:
    """Replace such links in every value of a resolved configuration."""
    keys: Any = config.keys() if isinstance(config, DictConfig) else range(len(config))
    for key in keys:
        value = config[key]
        if OmegaConf.is_config(value):
            follow_links(value)
        elif isinstance(value, str) and os.sep in value and (run := str(followed(Path(value)))) != str(Path(value)):
            config[key] = run
