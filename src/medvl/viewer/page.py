"""A run's report as one static HTML file: what was learned, figures with intervals, curves, pictures, provenance.

Everything is inside the file: no script, no font, no address is asked for (the page's own policy forbids it), so that it opens the same
from a disk without a network in ten years. The page is a local file; data that must not leave the machine is shown and the page says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from medvl.records import Box, PrivacyPolicy
from medvl.runtime.files import write_text
from medvl.viewer.curves import Curve, curve_svg
from medvl.viewer.measures import Measure, ReportFigure, by_benchmark
from medvl.viewer.overlay import film


@dataclass(frozen=True)
class Example:
    """One picture of the gallery.

    Attributes:
        phrase: the sentence that is grounded; the caption.
        image: (h, w), the whole original image at any size.
        finding: printed above the phrase.
        boxes: reference boxes, normalised to the original image.
        similarity: (H, W) over the original image at any size, NaN where the model did not look.
        prior: (h, w), the patient's earlier film.
        scores: name and value of similarities shown as bars, in [−1, 1].
        note: a line in small print, e.g. the example's own figures.
    """

    phrase: str
    image: NDArray[np.uint8]
    finding: str = ""
    boxes: tuple[Box, ...] = ()
    similarity: NDArray[np.floating] | None = None
    prior: NDArray[np.uint8] | None = None
    scores: tuple[tuple[str, float], ...] = ()
    note: str = ""


def write_page(
    path: Path,
    *,
    title: str,
    summary: Sequence[str],
    measures: Sequence[Measure] = (),
    reports: Sequence[ReportFigure] = (),
    curves: Sequence[Curve] = (),
    examples: Sequence[Example] = (),
    out_of_distribution: Sequence[Example] = (),
    provenance: Mapping[str, Any] | None = None,
    privacy: PrivacyPolicy = "local_only",
) -> Path:
    """Write the page atomically and return its path.

    Args:
        path: the HTML file.
        title: its heading.
        summary: what was learned, one plain sentence each; see ``measures.what_was_learned``.
        measures: the figures, from ``measures.measures``.
        reports: figures of retrieved reports, from ``measures.report_figures``.
        curves: of training.
        examples: pictures from the data that was measured.
        out_of_distribution: pictures from elsewhere, labelled as such.
        provenance: facts for the foot of the page, plain values.
        privacy: the strictest policy of everything shown; unless ``public``, the page is marked as not to be shared.
    """
    strongest = _strongest([*examples, *out_of_distribution])
    html = (
        templates()
        .get_template("page.html.j2")
        .render(
            title=title,
            summary=summary,
            benchmarks=by_benchmark(measures),
            reports=reports,
            curves=curves,
            examples=examples,
            out_of_distribution=out_of_distribution,
            provenance=_plain_lines(provenance or {}),
            privacy=privacy,
            strongest=strongest,
            films=lambda example: _films(example, strongest),
        )
    )
    write_text(path, html)
    return path


def templates() -> Environment:
    """The package's page templates; everything that is not markup is escaped."""
    environment = Environment(
        loader=PackageLoader("medvl.viewer"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"chart": curve_svg, "figure": _figure, "place": _place}
    return environment


def _films(example: Example, strongest: float) -> list[tuple[str, Markup]]:
    """The example's films with their labels, left to right."""
    shown = []
    if example.prior is not None:
        shown.append(("Prior", film(example.prior, alt="The earlier radiograph")))
    now = "Current" if example.prior is not None else "Radiograph"
    reference = f"{now}, reference boxes" if example.boxes else now
    shown.append((reference, film(example.image, alt=f"Radiograph: {example.phrase}", boxes=example.boxes)))
    if example.similarity is not None:
        alt = f"Similarity of the phrase with each place: {example.phrase}"
        heat = film(example.image, alt=alt, boxes=example.boxes, similarity=example.similarity, heat_range=(0.0, strongest))
        shown.append(("Where the model sees it", heat))
    return shown


def _strongest(examples: Sequence[Example]) -> float:
    """The greatest similarity shown, rounded up to a tenth: one colour scale for the page."""
    peaks = [float(np.nanmax(e.similarity)) for e in examples if e.similarity is not None and not np.isnan(e.similarity).all()]
    return max(0.1, math.ceil(max(peaks, default=1.0) * 10) / 10)


def _plain_lines(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Facts as name and text; nested ones as compact JSON without its quotes."""
    lines = []
    for name, value in facts.items():
        if value in (None, {}, []):
            continue
        text = " ".join(map(str, value)) if isinstance(value, list) else value
        if isinstance(text, Mapping):
            text = ", ".join(f"{key} {json.dumps(inner, ensure_ascii=False)}".replace('"', "") for key, inner in text.items())
        lines.append((name.replace("_", " "), str(text)))
    return lines


def _figure(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def _place(value: float, axis: tuple[float, float]) -> str:
    """A position along an axis in per cent."""
    return f"{(value - axis[0]) / (axis[1] - axis[0]) * 100:.2f}%"
