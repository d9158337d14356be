import re
from html.parser import HTMLParser

import numpy as np
import pytest

from medvl.records import Box
from medvl.viewer.curves import Curve, Series
from medvl.viewer.measures import measures, report_figures
from medvl.viewer.page import Example, write_page

IMAGE = np.full((40, 30), 90, np.uint8)
ENTRY = {"value": 0.8, "ci_low": 0.7, "ci_high": 0.9, "n": 12, "undefined_replicates": 0}
UNDEFINED = {"value": None, "ci_low": None, "ci_high": None, "n": 0, "undefined_replicates": 100}

RESULTS = {
    "metrics": {"zero_shot_auroc": ENTRY | {"untrained": ENTRY}},
    "per_finding": {"zero_shot_auroc": {"edema": UNDEFINED}},
}
BOXES = (Box(0.1, 0.2, 0.5, 0.6),)


class Wellformed(HTMLParser):
    """Checks that every element that needs it is closed, and keeps the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def page(tmp_path):
    def write(**parts) -> str:
        options = {"title": "A model", "summary": ["It learned something."], "privacy": "public"} | parts
        return write_page(tmp_path / "index.html", **options).read_text()

    return write


@pytest.fixture
def whole(page):
    return page(
        measures=measures(
            {"metrics": {"zero_shot_auroc": ENTRY | {"untrained": ENTRY}}, "per_finding": {"zero_shot_auroc": {"edema": UNDEFINED}}}
        ),
        reports=report_figures({"metrics": {"reports_radfact_logical_f1": ENTRY | {"constant": UNDEFINED}}}),
        curves=[Curve("Loss", "step", (Series("train", [0, 1, 2], [3.0, 2.0, 1.0]),))],
        examples=[
            Example("Left effusion.", IMAGE, "Effusion", (Box(0.1, 0.2, 0.5, 0.6),), np.zeros((20, 15)), IMAGE, (("Edema", -0.2),), "CNR 1")
        ],
        out_of_distribution=[Example("A real film.", IMAGE)],
        provenance={"seed": 0, "git": {"revision": "abc", "dirty": False}, "command": ["medvl", "train"], "data": {}},
    )


def test_the_page_is_whole_html(whole):
    parser = Wellformed()
    parser.feed(whole)

    assert parser.open == []
    for words in ("A model", "Left effusion.", "Prior", "Out of distribution", "revision abc", "medvl train", "0.70 … 0.90"):
        assert words in parser.text


def test_the_page_asks_for_nothing_outside_itself(whole):
    assert "<script" not in whole
    assert "default-src 'none'" in whole
    assert not re.findall(r"(?:src|href|url\()\s*=?\s*[\"']?(?!data:)[a-z]+:", whole)


def test_text_is_escaped(page):
    html = page(title="<script>x</script>", examples=[Example("<b>bold</b>", IMAGE)])

    assert "<script>" not in html
    assert "&lt;b&gt;bold" in html


def test_a_page_of_credentialed_data_says_that_it_must_not_be_shared(page):
    assert "do not share" in page(privacy="local_only")
    assert "do not share" in page(privacy="zero_retention")
    assert "do not share" not in page(privacy="public")


def test_a_page_is_credentialed_unless_said_to_be_public(tmp_path):
    assert "do not share" in write_page(tmp_path / "x.html", title="x", summary=[]).read_text()


def test_what_is_not_given_leaves_no_heading(page):
    html = page()

    for heading in ("What was measured", "Reports without a generator", "What the model sees", "Out of distribution", "How training went"):
        assert heading not in html


def test_retrieved_reports_stand_beside_one_normal_report(whole):
    row = whole[whole.index("RadFact logical F1") :].split("</tr>")[0]

    assert re.sub("<[^>]*>", " ", row).split() == ["RadFact", "logical", "F1", "0.800", "0.700", "…", "0.900", "–"]


def test_further_figures_of_a_benchmark_are_folded_under_its_first(page):
    html = page(measures=measures({"metrics": {"grounding_cnr": ENTRY, "grounding_miou": ENTRY, "zero_shot_auroc": ENTRY}}))

    folded = re.search(r"<summary>1 more</summary>(.*?)</details>", html, re.DOTALL)
    assert folded
    assert re.findall("<h3>(.*?)</h3>", folded[1]) == ["Phrase grounding, mIoU"]


def test_boxes_are_drawn_in_normalised_coordinates(whole):
    assert '<rect class="box" x="0.1000" y="0.2000" width="0.4000" height="0.4000"/>' in whole


def test_the_same_content_gives_the_same_bytes(page):
    content = {"examples": [Example("Left effusion.", IMAGE, similarity=np.eye(8))]}

    assert page(**content) == page(**content)
