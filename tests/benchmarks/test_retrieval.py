from types import SimpleNamespace

import numpy as np
import pytest
import torch
from images_in_memory import Images
from torch.nn.functional import normalize

from medvl.benchmarks.retrieval import NothingToMatch, Retrieval
from medvl.records import Report, Study, View
from medvl.runtime.config import compose, instantiate

SIZE = 8


class Angles:
    """An image of grey level g points to the angle g; a text to the number that ends it, or all to one place."""

    def __init__(self, *, blind=False):
        self.blind = blind

    def embed_images(self, pixels, previous=None, has_previous=None):
        whole = self._at(pixels.mean(dim=(1, 2, 3)) * 255)
        return SimpleNamespace(projected_global_embedding=whole, projected_patch_embeddings=whole[:, :, None, None])

    def embed_texts(self, texts, *, truncate=False, unit_length=True):
        return self._at(torch.tensor([float(text.split()[-1]) for text in texts]))

    def _at(self, degrees):
        angle = torch.deg2rad(torch.zeros_like(degrees) if self.blind else degrees)
        return normalize(torch.stack([angle.cos(), angle.sin()], dim=1), dim=1)


def study(number, says=None, **sections):
    sections = sections or {"impression": f"angle {number if says is None else says}"}
    return Study(
        "invented",
        f"p{number // 2:02d}",
        f"s{number:02d}",
        views=(View(f"v{number}", projection="PA"),),
        report=Report("", sections),
        split="test",
        privacy="public",
    )


@pytest.fixture
def images():
    return Images({f"v{number}": np.full((SIZE, SIZE), number, np.uint8) for number in range(40)})


def retrieval(**options):
    return Retrieval(crop=SIZE, **{"replicates": 50, **options})


def test_a_model_that_knows_the_pairs_finds_them_and_a_blind_one_ranks_by_chance(images):
    found = retrieval().evaluate(Angles(), images, [study(i) for i in range(40)], untrained=Angles(blind=True))

    for direction in ("image_to_text", "text_to_image"):
        assert found.metrics[f"retrieval_{direction}_recall_at_1"]["value"] == 1
        assert found.metrics[f"retrieval_{direction}_median_rank"]["value"] == 1
        assert found.metrics[f"retrieval_{direction}_recall_at_5"]["untrained"]["value"] == 0
        assert found.metrics[f"retrieval_{direction}_median_rank"]["untrained"]["value"] == 20.5
        assert found.metrics[f"retrieval_{direction}_recall_at_10"]["difference"]["ci_low"] == 1
    assert found.protocol["chance"]["recall_at_10"] == pytest.approx(0.25)


def test_both_ways_are_measured_each_for_itself(images):
    """Every report says the same place but one: its image is found, and all other images find a wrong one."""
    studies = [study(0), *(study(i, says=f"{i} or 0") for i in (10, 20, 30))]

    found = retrieval(ranks=[1, 2]).evaluate(Angles(), images, studies)

    table = found.tables["retrieval"].set_index("study_id")
    assert table["image_to_text_rank"].tolist() == [2.5] * 4  # four texts, all at angle 0
    assert table["text_to_image_rank"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(("hits", "ranks"), [("same_text", [1, 1, 1]), ("same_study", [1.5, 1.5, 1])])
def test_reports_of_the_same_words_count_or_not_by_name(images, hits, ranks):
    studies = [study(0, says=5), study(10, says=5), study(30)]

    found = retrieval(hits=hits).evaluate(Angles(), images, studies)

    table = found.tables["retrieval"].set_index("study_id")
    assert table["image_to_text_rank"].tolist() == ranks
    assert table["same_text"].tolist() == [2, 2, 1]
    assert found.protocol["hits"] == hits
    assert found.protocol["chance"]["recall_at_1"] == pytest.approx({"same_text": 5 / 9, "same_study": 1 / 3}[hits])


def test_pools_of_a_fixed_size_leave_the_rest_out_and_do_not_depend_on_the_order_of_studies(images):
    studies = [study(i) for i in range(10)]

    first = retrieval(pool_size=4).evaluate(Angles(blind=True), images, studies)
    again = retrieval(pool_size=4).evaluate(Angles(blind=True), images, studies[::-1])
    other = retrieval(pool_size=4, seed=1).evaluate(Angles(blind=True), images, studies)

    pools = [dict(zip(f.tables["retrieval"]["study_id"], f.tables["retrieval"]["pool"], strict=True)) for f in (first, again, other)]
    assert sorted(pools[0].values()) == [0] * 4 + [1] * 4
    assert pools[0] == pools[1] != pools[2]
    assert set(first.tables["retrieval"]["image_to_text_rank"]) == {2.5}
    assert (first.protocol["pools"], first.protocol["candidates"], first.protocol["studies_left_out"]) == (2, 4, 2)


def test_studies_without_the_section_or_an_image_are_left_out_and_counted(images):
    studies = [study(0), study(1), study(2, findings="angle 2"), study(99)]

    found = retrieval().evaluate(Angles(), images, studies)
    both = retrieval(sections=["findings", "impression"]).evaluate(Angles(), images, studies)

    assert (found.protocol["studies"], found.protocol["studies_left_out"]) == (2, 2)
    assert both.protocol["studies"] == 3
    assert found.protocol["splits"] == ["test"]


def test_long_queries_are_ranked_in_parts_as_at_once(images, monkeypatch):
    studies = [study(i, says=(i * 7) % 40) for i in range(40)]
    whole = retrieval().evaluate(Angles(), images, studies).tables["retrieval"]

    monkeypatch.setattr("medvl.benchmarks.retrieval.QUERIES_AT_ONCE", 7)

    assert retrieval().evaluate(Angles(), images, studies).tables["retrieval"].equals(whole)


@pytest.mark.parametrize(
    ("options", "message"), [({"ranks": []}, "ranks holds"), ({"ranks": [0]}, "from 1"), ({"pool_size": 1}, "at least two")]
)
def test_a_protocol_that_measures_nothing_is_refused(options, message):
    with pytest.raises(NothingToMatch, match=message):
        retrieval(**options)


def test_too_few_studies_are_a_clear_error(images):
    with pytest.raises(NothingToMatch, match=r"3 studies .* fewer than a pool of 5"):
        retrieval(pool_size=5).evaluate(Angles(), images, [study(i) for i in range(3)])
    with pytest.raises(NothingToMatch, match="none of 1 studies with impression"):
        retrieval().evaluate(Angles(), images, [study(99)])


def test_the_shipped_protocol_ranks_the_whole_test_set():
    shipped = instantiate(compose("benchmark/retrieval").benchmark)

    assert (shipped.pool_size, list(shipped.ranks), shipped.hits) == (None, [1, 5, 10], "same_text")
