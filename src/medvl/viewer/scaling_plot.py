"""Scores over data size, one panel for each task: points with intervals, the fitted power law with its band, the start as a dotted line."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medvl.runtime.files import write_bytes

COLOURS = ("#1b6ca8", "#c8553d", "#4b8f5b", "#7a5195")
MARKERS = ("o", "s", "^", "D")


def write_scaling_plot(stem: Path, curves: Mapping[str, Mapping[str, Mapping[str, Any]]], *, metric: str) -> list[Path]:
    """Write ``<stem>.png`` and ``<stem>.svg``.

    Args:
        stem: path without suffix.
        curves: task → paradigm → ``points`` (``studies``, ``value``, ``ci_low``, ``ci_high``), ``start`` and ``power_law`` with its
            ``curve``, the last two perhaps ``None``: the ``curves`` of a scaling study's ``results.json``.
        metric: the name of the vertical axis.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(
        {"svg.hashsalt": "medvl", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure = Figure(figsize=(4.2 * len(curves), 3.2), layout="constrained")
        panels = figure.subplots(1, len(curves), squeeze=False)[0]
        for panel, (task, paradigms) in zip(panels, curves.items(), strict=True):
            for number, (name, curve) in enumerate(paradigms.items()):
                _draw(panel, name, curve, COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)])
            panel.set(title=task.replace("_", " "), xscale="log", xlabel="training studies", ylabel=metric)
            panel.legend(frameon=False)
        paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "svg")]
        for path in paths:
            content = io.BytesIO()
            figure.savefig(content, format=path.suffix[1:], dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
            write_bytes(path, content.getvalue())
    return paths


def _draw(panel: Any, name: str, curve: Mapping[str, Any], colour: str, marker: str) -> None:
    points = [point for point in curve["points"] if point["value"] is not None]
    sizes, values = [p["studies"] for p in points], [p["value"] for p in points]
    panel.plot(sizes, values, marker, color=colour, label=name, markersize=5)
    bounded = [p for p in points if p["ci_low"] is not None]
    panel.vlines(
        [p["studies"] for p in bounded], [p["ci_low"] for p in bounded], [p["ci_high"] for p in bounded], color=colour, linewidth=1
    )
    if (start := curve["start"]) is not None and start["value"] is not None:
        panel.axhline(start["value"], color=colour, linestyle=":", linewidth=1)
    if (law := curve["power_law"]) is not None:
        line = law["curve"]
        panel.plot(line["studies"], line["value"], color=colour, linewidth=1.4)
        if line["ci_low"] is not None:
            panel.fill_between(line["studies"], line["ci_low"], line["ci_high"], color=colour, alpha=0.15, linewidth=0)
