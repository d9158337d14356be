"""One study as a static HTML page: its films with boxes, its report by section, its phrases and labels. For ``medvl data show``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from medvl.records import Study, View
from medvl.runtime.files import write_text
from medvl.viewer.measures import spoken
from medvl.viewer.overlay import film
from medvl.viewer.page import templates


def study_page(study: Study, images: Mapping[str, NDArray[np.uint8]]) -> str:
    """The page as HTML, marked as not to be shared unless the study is public.

    Args:
        study: with whatever it holds; what is missing is left out.
        images: view id → (h, w); views without an image are listed and not shown.
    """
    findings = list(dict.fromkeys(finding for values in study.labels.values() for finding in values))
    return (
        templates()
        .get_template("study.html.j2")
        .render(
            title=f"{study.dataset}, study {study.study_id}",
            study=study,
            privacy=study.privacy,
            facts=_facts(study),
            films=[_film(study, view, images[view.view_id]) for view in study.views if view.view_id in images],
            hidden=[view.view_id for view in study.views if view.view_id not in images],
            sections=_sections(study),
            findings=findings,
            changes=[(spoken(finding), change) for finding, change in study.progression.items()],
        )
    )


def write_study_page(path: Path, study: Study, images: Mapping[str, NDArray[np.uint8]]) -> Path:
    """Write the page of a study atomically and return its path. See ``study_page``."""
    write_text(path, study_page(study, images))
    return path


def _film(study: Study, view: View, image: NDArray[np.uint8]) -> tuple[str, Markup]:
    boxes = [box for phrase in study.phrases if phrase.view_id == view.view_id for box in phrase.boxes or ()]
    size = f", {view.width} × {view.height} pixels" if view.width and view.height else ""
    return f"{view.projection or 'unknown view'}{size}", film(image, alt=f"Radiograph {view.view_id}", boxes=boxes)


def _facts(study: Study) -> list[tuple[str, str]]:
    """What is known of the study, in reading order."""
    facts = {
        "patient": study.patient_id,
        "time": study.time.strftime("%Y-%m-%d %H:%M") if study.time else None,
        "sex": study.sex,
        "age": f"{study.age:g}" if study.age is not None else None,
        "split": study.split,
        "prior study": study.prior_study_id,
        "privacy": study.privacy.replace("_", " "),
    }
    return [(name, value) for name, value in facts.items() if value is not None]


def _sections(study: Study) -> list[tuple[str, str]]:
    """Heading and text of each section of the report; the whole text where it has none."""
    if study.report is None:
        return []
    sections = study.report.sections or {"report": study.report.text}
    return [(spoken(name), text.strip()) for name, text in sections.items() if text.strip()]
