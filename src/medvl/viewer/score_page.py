"""Scored reports as one static HTML file: figures with intervals, and each sentence with its verdict, evidence and boxes.

Colours are never alone: every verdict stands in words. Like every page of this project it holds all that it shows and asks for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medvl.records import PrivacyPolicy
from medvl.runtime.files import write_text
from medvl.viewer.page import templates

SHOWN = 200  # studies on a page; the files hold them all


def write_score_page(
    path: Path, *, title: str, results: Mapping[str, Any], studies: Sequence[Mapping[str, Any]], privacy: PrivacyPolicy
) -> Path:
    """Write the page atomically and return its path.

    Args:
        path: the HTML file.
        title: its heading.
        results: the content of ``results.json``.
        studies: ``example_id``, ``prediction``, ``reference`` and ``judged`` (RadFact's record of the study, or ``None``) of each sample.
        privacy: the strictest policy of the samples; unless ``public``, the page is marked as not to be shared.
    """
    html = (
        templates()
        .get_template("score.html.j2")
        .render(
            title=title,
            results=results,
            figures=_figures(results["metrics"]),
            studies=[_shown(study) for study in studies[:SHOWN]],
            left_out=max(0, len(studies) - SHOWN),
            privacy=privacy,
            counted=_counted(results["counts"]),
        )
    )
    write_text(path, html)
    return path


def _figures(metrics: Mapping[str, Any]) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
    """The rows of the table, and those that are folded away: of single findings and thresholds, micro averages, undefined values."""
    rows = list(metrics.items())
    shown = [row for row in rows if row[0].count("/") == 1 and row[1]["value"] is not None]
    return shown, [row for row in rows if row not in shown]


def _counted(counts: Mapping[str, float]) -> list[tuple[str, str]]:
    """What was left out, empty, lost or invented, by a readable name; zeros, successes and the numbers of the heading are not shown."""
    rest = {name: value for name, value in counts.items() if value and name not in ("samples", "patients") and "success" not in name}
    return [(name.replace("num_", "").replace("_", " ").replace("llm", "judge"), f"{value:g}") for name, value in rest.items()]


def _shown(study: Mapping[str, Any]) -> dict[str, Any]:
    judged = study["judged"]
    sides = [] if judged is None else [("prediction", judged["candidate_phrases"]), ("reference", judged["reference_phrases"])]
    return {**study, "sides": [(name, [_phrase(phrase) for phrase in phrases]) for name, phrases in sides]}


def _phrase(phrase: Mapping[str, Any]) -> dict[str, Any]:
    """A phrase with its boxes as rectangles of the unit square: its own, and its evidence's."""
    evidence = [box for item in phrase["evidence"] for box in item["boxes"] or ()]
    return {**phrase, "rectangles": [*_rectangles(phrase["boxes"] or (), "own"), *_rectangles(evidence, "evidence")]}


def _rectangles(boxes: Sequence[Mapping[str, float]], kind: str) -> list[dict[str, Any]]:
    return [
        {"x": b["x_min"], "y": b["y_min"], "width": b["x_max"] - b["x_min"], "height": b["y_max"] - b["y_min"], "kind": kind} for b in boxes
    ]
