"""A verb as a Hydra app: composes its configuration, runs the task, and turns errors that a user causes into one line."""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig

from medvl.cli.main import stop_writing
from medvl.runtime.config import config_folder, explain, require_complete
from medvl.runtime.errors import UserError
from medvl.runtime.latest import follow_links
from medvl.runtime.signals import INTERRUPTED

Task = Callable[[DictConfig], dict[str, Any] | None]


def run(verb: str, task: Task, overrides: list[str]) -> None:
    """Run a verb's task under Hydra; prints what the task returns when ``json=true``.

    The task gets a complete, resolved configuration. Exit status: 0 done, 1 an error or a result whose ``ok`` is false, 130 stopped
    by the user.
    """
    import hydra

    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that errors reach us as they are
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    sys.argv = [f"medvl {verb}", *overrides]
    app = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=verb)(_checked(verb, task))
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if "show_traceback=true" in overrides:
            traceback.print_exc()
        sys.exit(f"medvl {verb}: {explain(error, verb, overrides)}")


def _checked(verb: str, task: Task) -> Task:
    def checked(config: DictConfig) -> dict[str, Any] | None:
        try:
            require_complete(config)
            follow_links(config)
            result = task(config)
            if config.json and result is not None:
                print(json.dumps(result, indent=2))
        except UserError as error:
            if config.show_traceback:
                traceback.print_exc()
            sys.exit(f"medvl {verb}: {error}")
        except BrokenPipeError:
            stop_writing()
        if result is not None and result.get("ok") is False:
            sys.exit(1)
        return result

    return checked


def show_plan(config: DictConfig, plan: dict[str, Any]) -> dict[str, Any]:
    """What a dry run says: the given facts, printed one a line unless ``json=true``."""
    if not config.json:
        for name, value in plan.items():
            print(f"{name:<14}{_readable(name, value)}")
    return {"name": config.name, **plan}


def _readable(name: str, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "nothing"
    return f"{value / 1e9:.2f} GB" if name.endswith("_bytes") else f"{value:,}" if isinstance(value, int) else str(value)
