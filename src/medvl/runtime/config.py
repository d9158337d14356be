"""Configuration: compose with Hydra, find what is missing, refuse what is not ours, build what is named.

All instantiation goes through ``instantiate``: every ``_target_`` must start with an allow-listed prefix, checked over the whole node
before anything is imported. A configuration read out of a checkpoint is never instantiated.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from medvl.runtime.errors import UserError, did_you_mean

ALLOWED_TARGETS = ("medvl.", "torch.optim.", "lightning.pytorch.", "torchmetrics.")

# Keys that say how to run and what to measure afterwards, not what to compute: they do not enter the identity of a run.
NOT_IDENTITY = ("dry_run", "json", "restart", "outputs", "show_traceback", "page", "benchmarks", "logger", "prepare", "checkpoint")


class ConfigError(UserError):
    """A configuration that cannot run as it stands."""


def config_folder() -> Path:
    """The folder of the YAML files: inside the installed package, or the repository's ``configs/`` in a checkout."""
    packaged = Path(str(files("medvl"))) / "configs"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[3] / "configs"


def compose(verb: str, overrides: list[str] | None = None) -> DictConfig:
    """The configuration of a verb with overrides, as the command line would compose it."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return hydra_compose(verb, overrides or [])


def require_complete(config: DictConfig) -> None:
    """Check that nothing mandatory is missing and every interpolation resolves.

    Raises:
        ConfigError: listing every key still ``???``, or naming the interpolation that fails.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ConfigError(f"missing values: {', '.join(missing)}. Give each on the command line, e.g. {missing[0]}=…")
    try:
        OmegaConf.resolve(config)
    except Exception as error:
        raise ConfigError(f"cannot resolve the configuration: {str(error).splitlines()[0]}") from error


def check_targets(config: Any, path: str = "") -> None:
    """Check every ``_target_`` below a node against the allow-list.

    Raises:
        ConfigError: naming the key and the target.
    """
    if isinstance(config, DictConfig):
        config = OmegaConf.to_container(config, resolve=True)
    for where, target in _targets(config, path):
        if not str(target).startswith(ALLOWED_TARGETS):
            raise ConfigError(f"{where}._target_ = {target!r} is not allowed (allowed: {', '.join(ALLOWED_TARGETS)})")


def instantiate(node: DictConfig, **arguments: Any) -> Any:
    """Build the object that a node names, after the allow-list check."""
    import hydra.utils

    check_targets(node)
    try:
        return hydra.utils.instantiate(node, _convert_="all", **arguments)
    except hydra.errors.InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise ConfigError(_one_line(error)) from error


@contextlib.contextmanager
def on_meta() -> Iterator[None]:
    """Build modules on the ``meta`` device: shapes without memory, so that a full-size recipe can be checked anywhere."""
    import torch

    with torch.device("meta"):
        yield


def identity(config: DictConfig) -> str:
    """Eight hexadecimal digits that name what a configuration computes."""
    container = OmegaConf.to_container(config, resolve=True)
    assert isinstance(container, dict)
    for key in NOT_IDENTITY:
        container.pop(key, None)
    return hashlib.sha256(json.dumps(container, sort_keys=True).encode()).hexdigest()[:8]


def run_folder(config: DictConfig, verb: str) -> Path:
    """Where a run leaves its files: ``<outputs>/<verb>/<name>-<identity>``."""
    return Path(config.outputs) / verb / f"{config.name}-{identity(config)}"


def explain(error: Exception, verb: str, overrides: list[str]) -> str:
    """A Hydra or OmegaConf error in one line, with the nearest valid name where there is one."""
    text = str(error)
    if group := _between(text, "You must specify '", "'"):
        return f"choose {group}=… ({', '.join(_options(group))})"
    if key := _between(text, "Could not override '", "'"):
        choices = [word for word in _choices(overrides) if word.split("=", 1)[0] != key]
        return f"{verb} has no key {key!r}{_nearest_key(key, list(_keys(compose(verb, choices))))}"
    if wanted := _between(text, "Could not find '", "'"):
        group, _, name = wanted.rpartition("/")
        return f"there is no {group}={name}{did_you_mean(name, _options(group))}"
    return _one_line(error)


def _nearest_key(key: str, keys: list[str]) -> str:
    """The nearest key beside the one asked for; the nearest of all where nothing stands beside it."""
    parent, _, leaf = key.rpartition(".")
    beside = [k.rpartition(".")[2] for k in keys if k.rpartition(".")[0] == parent]
    return did_you_mean(leaf, beside) if beside else did_you_mean(key, keys)


def _options(group: str) -> list[str]:
    return sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))


def _choices(overrides: list[str]) -> list[str]:
    """Those overrides that choose a file of a config group."""
    return [word for word in overrides if "=" in word and (config_folder() / word.split("=", 1)[0]).is_dir()]


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:3]) or type(error).__name__


def _between(text: str, before: str, after: str) -> str:
    return text.split(before, 1)[1].split(after, 1)[0] if before in text else ""


def _targets(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield path or "the configuration", node["_target_"]
        for key, value in node.items():
            yield from _targets(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, (list, ListConfig)):
        for index, value in enumerate(node):
            yield from _targets(value, f"{path}[{index}]")


def _keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, config):
        yield f"{prefix}{key}"
        opaque = OmegaConf.is_missing(config, key) or OmegaConf.is_interpolation(config, key)
        if not opaque and isinstance(config[key], DictConfig):
            yield from _keys(config[key], f"{prefix}{key}.")
