from datetime import datetime

import numpy as np
import pytest

from medvl.records import Box, Phrase, Progression, Report, Study, View
from medvl.viewer.study_page import study_page, write_study_page


@pytest.fixture
def study():
    return Study(
        "mimic_cxr",
        "p1",
        "s1",
        time=datetime(2180, 5, 6, 6, 30),
        age=63.0,
        views=(View("v1", projection="PA", height=20, width=10), View("v2", projection="LATERAL")),
        report=Report("…", {"findings": "A left effusion.", "impression": " "}),
        phrases=(Phrase("A <left> effusion.", {"es": "Derrame."}, boxes=(Box(0, 0, 0.5, 0.5),), view_id="v1"),),
        labels={"chexpert": {"Edema": "uncertain"}, "negbio": {"Pleural Effusion": "positive"}},
        progression={"pleural_effusion": Progression("worsening")},
        privacy="local_only",
    )


def test_a_study_shows_what_it_holds(study):
    html = study_page(study, {"v1": np.zeros((20, 10), np.uint8)})

    for words in (
        "2180-05-06 06:30",
        "63",
        "PA, 10 × 20 pixels",
        "A left effusion.",
        "es: Derrame.",
        "uncertain",
        "worsening",
        "do not share",
    ):
        assert words in html
    assert html.count('<rect class="box"') == 1


def test_a_view_without_an_image_is_named(study):
    assert "Without an image here: v2." in study_page(study, {"v1": np.zeros((20, 10), np.uint8)})


def test_sections_without_text_have_no_heading(study):
    assert "Impression" not in study_page(study, {})


def test_text_is_escaped(study):
    assert "A &lt;left&gt; effusion." in study_page(study, {})


def test_a_bare_study_has_a_page(tmp_path):
    page = write_study_page(tmp_path / "study.html", Study("open_i", "p", "s", privacy="public"), {})

    html = page.read_text()
    assert "open_i, study s" in html
    assert "do not share" not in html
    assert "Report" not in html
