import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from medvl.benchmarks import results
from medvl.benchmarks.embedding import NoPriors
from medvl.benchmarks.phrase_grounding import NothingToGround, PhraseGrounding
from medvl.benchmarks.phrase_grounding import grounded_phrases as grounded
from medvl.geometry import boxes_to_mask
from medvl.metrics import grounding
from medvl.records import Box, Phrase, Prediction, Study, from_json

SQUARE = Box(16 / 80, 8 / 64, 40 / 80, 32 / 64)


def study(i: int, *phrases: Phrase, privacy="public") -> Study:
    return Study("ms_cxr", patient_id=f"p{i // 2}", study_id=f"s{i}", phrases=phrases, privacy=privacy)


def phrase(i: int, text: str = "dense opacity", finding: str = "Consolidation") -> Phrase:
    return Phrase(text, boxes=(SQUARE,), labels=(finding,), view_id=f"v{i}")


@pytest.fixture
def studies():
    even = (0, 2, 4, 6, 8)
    return [study(i, phrase(i), phrase(i, "another dense area", "Edema"), Phrase("no boxes", view_id=f"v{i}")) for i in even]


@pytest.fixture
def protocol():
    return PhraseGrounding(crop=64, smoothing=None, batch_size=2, replicates=50)


def test_a_model_that_sees_the_box_scores_and_one_that_avoids_it_does_not(protocol, images, studies, brightness_model):
    found = protocol.evaluate(brightness_model(), images, studies, untrained=brightness_model(reversed_texts=True))

    miou, cnr = found.metrics["grounding_miou"], found.metrics["grounding_cnr"]
    assert miou["value"] > 0.7
    assert miou["untrained"]["value"] < 0.1
    assert miou["difference"]["ci_low"] > 0.6
    assert cnr["value"] > 1 > -1 > cnr["untrained"]["value"]
    assert found.metrics["grounding_cnr_absolute"]["untrained"]["value"] == pytest.approx(-cnr["untrained"]["value"])
    assert found.metrics["grounding_pointing_game"]["value"] == 1


def test_each_finding_has_its_figure_and_the_headline_is_their_mean(protocol, images, studies, brightness_model):
    found = protocol.evaluate(brightness_model(), images, studies)

    by_finding = found.per_finding["grounding_miou"]
    assert {name: entry["n"] for name, entry in by_finding.items()} == {"Consolidation": 5, "Edema": 5}
    assert found.metrics["grounding_miou"]["value"] == pytest.approx(np.mean([e["value"] for e in by_finding.values()]))
    assert found.metrics["grounding_miou"]["n"] == 10


def test_the_headline_can_be_limited_to_some_findings(images, studies, brightness_model):
    limited = PhraseGrounding(crop=64, smoothing=None, macro_over=("Edema",), replicates=10)

    found = limited.evaluate(brightness_model(), images, studies)

    assert found.metrics["grounding_miou"]["findings"] == ["Edema"]
    assert "Consolidation" in found.per_finding["grounding_miou"]


def test_images_and_texts_are_encoded_once(protocol, images, studies, brightness_model):
    model = brightness_model()

    protocol.evaluate(model, images, studies)

    assert model.images_seen == 5
    assert sorted(model.texts_seen) == ["another dense area", "dense opacity"]


def test_phrases_whose_image_is_not_prepared_are_counted(protocol, images, studies, brightness_model):
    del images["v0"]

    found = protocol.evaluate(brightness_model(), images, studies)

    assert (found.protocol["phrases"], found.protocol["phrases_without_image"]) == (8, 2)


def test_nothing_to_ground_is_a_clear_error(protocol, images, brightness_model):
    with pytest.raises(NothingToGround, match="none of 1 phrases"):
        protocol.evaluate(brightness_model(), images, [study(99, Phrase("x", boxes=(SQUARE,), view_id="v99"))])


def test_the_best_threshold_is_called_an_oracle_unless_a_validation_split_chose_it(protocol, images, studies, brightness_model):
    oracle = protocol.evaluate(brightness_model(), images, studies)
    honest = protocol.evaluate(brightness_model(), images, studies[2:], validation=studies[:2])

    assert "oracle" in oracle.protocol["best_threshold_chosen_on"]
    assert honest.protocol["best_threshold_chosen_on"] == "validation"
    assert honest.metrics["grounding_miou_best_threshold"]["value"] > 0.7


def test_the_best_threshold_is_sought_on_the_scale_of_the_model(protocol, images, studies, brightness_model):
    class Faint(brightness_model):
        def embed_texts(self, texts):
            return 0.001 * super().embed_texts(texts)

    found = protocol.evaluate(Faint(), images, studies)

    assert found.metrics["grounding_miou"]["value"] == 0
    assert found.metrics["grounding_miou_best_threshold"]["value"] > 0.7


def test_a_box_outside_the_centre_crop_cannot_be_found_and_its_coverage_says_so(protocol, images, brightness_model):
    margin = Phrase("dense edge", boxes=(Box(0, 0, 0.05, 1),), labels=("Edema",), view_id="v0")

    row = protocol.evaluate(brightness_model(), images, [study(0, margin)]).tables["per_sample"].iloc[0]

    assert row["coverage"] == 0
    assert row["miou"] == 0
    assert np.isnan(row["cnr"])


def test_predictions_hold_the_box_in_the_original_image(protocol, images, studies, brightness_model):
    first = protocol.evaluate(brightness_model(), images, studies).predictions[0]

    assert (first.study_id, [p.text for p in first.phrases]) == ("s0", ["dense opacity", "another dense area"])
    assert first.phrases[0].boxes[0].xyxy == pytest.approx(SQUARE.xyxy, abs=0.06)


def test_a_model_in_training_mode_is_not_measured(protocol, images, studies, brightness_model):
    class Module(brightness_model, torch.nn.Module):
        def __init__(self):
            torch.nn.Module.__init__(self)
            brightness_model.__init__(self)

    with pytest.raises(ValueError, match="training mode"):
        protocol.evaluate(Module(), images, studies)
    assert protocol.evaluate(Module().eval(), images, studies).protocol["phrases"] == 10


def test_written_files_carry_the_strictest_policy(tmp_path, protocol, images, studies, brightness_model):
    studies[1] = study(2, phrase(2), privacy="local_only")
    found = protocol.evaluate(brightness_model(), images, studies, untrained=brightness_model(reversed_texts=True))

    results.write(tmp_path, [found])

    written = json.loads((tmp_path / "results.json").read_text())
    assert written["protocol"]["phrase_grounding"]["privacy"] == "local_only"
    assert written["metrics"]["grounding_miou"]["untrained"]["n"] == 9
    assert pq.read_schema(tmp_path / "per_sample.parquet").metadata[b"privacy"] == b"local_only"
    assert set(pd.read_parquet(tmp_path / "per_sample.parquet")["model"]) == {"trained", "untrained"}
    lines = (tmp_path / "predictions.jsonl").read_text().splitlines()
    assert from_json(Prediction, json.loads(lines[0])) == found.predictions[0]


def test_padding_shows_the_margins_that_the_crop_hides(images, brightness_model):
    margin = Phrase("dark edge", boxes=(Box(0, 0, 0.05, 1),), labels=("Edema",), view_id="v0")

    padded = PhraseGrounding(crop=64, fit="pad", replicates=10).evaluate(brightness_model(), images, [study(0, margin)])

    assert padded.tables["per_sample"]["coverage"].item() == 1


def test_the_published_crop_hides_an_eighth_of_the_short_side(images, brightness_model):
    whole = Phrase("everything", boxes=(Box(0, 0, 1, 1),), labels=("Edema",), view_id="v0")

    cropped = PhraseGrounding(crop=56, short_side=64, replicates=10).evaluate(brightness_model(), images, [study(0, whole)])

    assert cropped.tables["per_sample"]["coverage"].item() == pytest.approx(56 * 56 / (64 * 80), abs=0.01)


def test_coverage_is_reported_per_finding_and_without_an_untrained_model(protocol, images, studies, brightness_model):
    margin = Phrase("dense edge", boxes=(Box(0, 0, 0.05, 1),), labels=("Edema",), view_id="v0")

    found = protocol.evaluate(brightness_model(), images, [*studies, study(0, margin)], untrained=brightness_model())

    assert found.per_finding["grounding_coverage"]["Consolidation"]["value"] == 1
    assert found.per_finding["grounding_coverage"]["Edema"]["value"] == pytest.approx(5 / 6)
    assert "untrained" not in found.metrics["grounding_coverage"]


@pytest.mark.parametrize("blank_earlier", [False, True])
def test_cnr_per_box_stands_beside_that_of_the_union(images, brightness_model, blank_earlier):
    elsewhere = Box(0.7, 0.7, 0.8, 0.9)
    two = Phrase("dense", boxes=(SQUARE, elsewhere), labels=("Edema",), view_id="v0")
    protocol = PhraseGrounding(crop=64, resolution=None, blank_earlier_boxes=blank_earlier, replicates=10)

    (each,) = protocol.maps(brightness_model(), images, grounded([study(0, two)]))
    row = protocol.evaluate(brightness_model(), images, [study(0, two)]).tables["per_sample"].iloc[0]

    similarity = each.in_original()
    masks = [boxes_to_mask([box], similarity.shape) for box in two.boxes]
    assert row["cnr_per_box"] == pytest.approx(grounding.contrast_to_noise_ratio_per_box(similarity, masks, blank_earlier=blank_earlier))
    assert row["cnr"] == pytest.approx(grounding.contrast_to_noise_ratio(similarity, masks[0] | masks[1]))


def test_stretching_shows_everything(images, brightness_model):
    margin = Phrase("dense edge", boxes=(Box(0, 0, 0.05, 1),), labels=("Edema",), view_id="v0")

    stretched = PhraseGrounding(crop=64, fit="stretch", replicates=10).evaluate(brightness_model(), images, [study(0, margin)])

    assert stretched.tables["per_sample"]["coverage"].item() == 1


def test_a_stretched_model_input_finds_the_same_box(images, studies, brightness_model):
    stretched = PhraseGrounding(crop=64, fit="stretch", smoothing=None, replicates=10).evaluate(brightness_model(), images, studies)

    assert stretched.metrics["grounding_pointing_game"]["value"] == 1
    assert stretched.metrics["grounding_miou"]["value"] > 0.6


def test_the_official_geometry_is_that_of_the_centre_crop():
    with pytest.raises(NothingToGround, match="does not go with fit=pad"):
        PhraseGrounding(crop=64, fit="pad", geometry="official")


def test_nearest_maps_have_no_values_between_those_of_the_patches(images, studies, brightness_model):
    nearest = PhraseGrounding(crop=64, smoothing=None, interpolation="nearest", geometry="official")

    (each, *_) = nearest.maps(brightness_model(), images, grounded(studies))
    similarity = each.in_original()

    assert set(np.unique(similarity[~np.isnan(similarity)])) == set(np.unique(each.patches))


def test_the_film_before_is_shown_only_when_asked_for(images, studies, brightness_model):
    class Linked(type(images)):
        def prior_view(self, study_id):
            return "v0" if study_id == "s2" else None  # the same picture, so that nothing is new

    linked, model = Linked(images), brightness_model()
    single = PhraseGrounding(crop=64, smoothing=None, replicates=10).evaluate(model, linked, studies)
    assert model.priors_seen == []

    paired = PhraseGrounding(crop=64, smoothing=None, use_prior=True, replicates=10).evaluate(model, linked, studies)

    assert model.priors_seen == [False, True, False, False, False]
    new = paired.tables["per_sample"].set_index("study_id")["pointing_game"]
    assert new["s2"].max() < 0.5
    assert new.drop("s2").min() == single.tables["per_sample"]["pointing_game"].min() == 1


def test_films_before_need_a_source_that_knows_them(images, studies, brightness_model):
    with pytest.raises(NoPriors, match="use_prior=false"):
        PhraseGrounding(crop=64, use_prior=True).evaluate(brightness_model(), images, studies)


def test_the_protocol_names_the_split_and_the_choices(protocol, images, studies, brightness_model):
    stated = protocol.evaluate(brightness_model(), images, studies).protocol

    assert stated["splits"] == ["unnamed"]
    assert (stated["interpolation"], stated["geometry"], stated["fit"], stated["crop"]) == ("bilinear", "frame", "crop", 64)
