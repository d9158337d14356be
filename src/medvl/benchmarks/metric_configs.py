"""Metrics by name: a name is that of a file in ``configs/metric``, whose keys are the metric's options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError

from medvl.benchmarks.report_metrics import OnTexts, ReportMetric
from medvl.runtime.config import check_targets, config_folder, instantiate
from medvl.runtime.errors import UserError, did_you_mean


def named_metrics(names: Sequence[str], options: Mapping[str, Any] | None = None) -> dict[str, ReportMetric]:
    """The metrics of these names, with options by name; errors as ``metric_nodes``."""
    return metrics_of(metric_nodes(names, options or {}))


def metric_nodes(names: Sequence[str], options: Mapping[str, Any]) -> dict[str, DictConfig]:
    """Name → configuration of each metric, with its options.

    Raises:
        UserError: naming a metric, an option or a missing value.
    """
    known = {path.stem: path for path in (config_folder() / "metric").glob("*.yaml")}
    for name in (*names, *options):
        if name not in known:
            raise UserError(f"there is no metric {name!r}{did_you_mean(name, known)}")
    if unused := [name for name in options if name not in names]:
        raise UserError(f"options.{unused[0]} is given, but {unused[0]} is not among the metrics")
    nodes = {}
    for name in names:
        node = OmegaConf.load(known[name])
        assert isinstance(node, DictConfig)
        OmegaConf.set_struct(node, True)
        given = options.get(name, {})
        if not isinstance(given, Mapping):
            raise UserError(f"options.{name} = {given!r} names no key; give options.{name}.KEY=…")
        try:
            node.merge_with(given)
        except ConfigKeyError as error:
            raise UserError(f"{name} has no option {error.full_key!r}{did_you_mean(str(error.full_key), node)}") from error
        if missing := sorted(OmegaConf.missing_keys(node)):
            raise UserError(f"metrics: {name} needs {', '.join(f'options.{name}.{key}=…' for key in missing)}")
        check_targets(node)
        nodes[name] = node
    return nodes


def metrics_of(nodes: Mapping[str, DictConfig]) -> dict[str, ReportMetric]:
    """The metrics themselves; functions of texts get the samples' texts."""
    made = {name: instantiate(node) for name, node in nodes.items()}
    return {name: OnTexts(metric) if nodes[name].get("_partial_") else metric for name, metric in made.items()}
