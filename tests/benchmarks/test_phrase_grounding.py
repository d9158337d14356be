import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from medvl.benchmarks import results
from medvl.benchmarks.phrase_grounding import NothingToGround, PhraseGrounding, frame_at, similarity_map
from medvl.geometry import Frame
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


def test_similarity_is_the_cosine_of_patch_and_text():
    patches = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])  # (D=2, h=1, w=2)

    maps = similarity_map(patches, torch.tensor([[0.6, 0.8]]), smoothing=None)

    assert maps == pytest.approx(np.array([[[0.6, 0.8]]]))


def test_smoothing_stays_within_a_map():
    patches = torch.zeros(1, 5, 5)
    patches[0, 2, 2] = 1

    maps = similarity_map(patches, torch.tensor([[1.0], [0.0]]), smoothing=1.5)

    assert maps[0].max() < 0.2
    assert maps[0].sum() == pytest.approx(1, abs=1e-5)
    assert not maps[1].any()


def test_padding_shows_the_margins_that_the_crop_hides(images, brightness_model):
    margin = Phrase("dark edge", boxes=(Box(0, 0, 0.05, 1),), labels=("Edema",), view_id="v0")

    padded = PhraseGrounding(crop=64, fit="pad", replicates=10).evaluate(brightness_model(), images, [study(0, margin)])

    assert padded.tables["per_sample"]["coverage"].item() == 1


def test_the_published_crop_hides_an_eighth_of_the_short_side(images, brightness_model):
    whole = Phrase("everything", boxes=(Box(0, 0, 1, 1),), labels=("Edema",), view_id="v0")

    cropped = PhraseGrounding(crop=56, short_side=64, replicates=10).evaluate(brightness_model(), images, [study(0, whole)])

    assert cropped.tables["per_sample"]["coverage"].item() == pytest.approx(56 * 56 / (64 * 80), abs=0.01)


def test_a_smaller_original_keeps_its_frame():
    frame = Frame.identity((1000, 800)).short_side(64).center_cropped((64, 64))

    small = frame_at(frame, 100)

    assert small.source == (125, 100)
    assert small.points_to_target(np.array([100.0, 125.0])) == pytest.approx(frame.points_to_target(np.array([800.0, 1000.0])))
    assert frame_at(frame, None) is frame
