import numpy as np
import pytest
import torch
from cohort import write_cohort

from medvl.data.prepare import prepare
from medvl.data.prepared import PreparedDataset
from medvl.data.report_text import join_sections, split_sentences
from medvl.data.sampler import SampleIndex
from medvl.data.samples import Crop, ImagePairSamples, ImageSamples, ImageTextSamples, NoSamples, ReportingSamples, collate
from medvl.data.transforms import Augmentation, Window, cut_window, draw_window, generator, to_tensor
from medvl.geometry import Frame
from medvl.records import Box

CROP = Crop(16)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort")
    studies = write_cohort(root / "images")
    studies[0].report.sections.clear()  # a study whose report says nothing
    prepare(studies, root / "out", inputs={}, image_size=16, progress=False)
    return PreparedDataset(root / "out")


def test_an_image_is_a_square_float_tensor_between_zero_and_one(prepared):
    image = ImageSamples(prepared, crop=CROP)[0]["image"]

    assert (image.shape, image.dtype) == ((1, 16, 16), torch.float32)
    assert 0 <= image.min() < image.max() <= 1


def test_evaluation_shows_the_centre_of_the_cached_image(prepared):
    sample = ImageSamples(prepared, crop=CROP)[0]

    expected = prepared.image("frontal-0000")[2:18] / np.float32(255)
    assert sample["image"][0].numpy() == pytest.approx(expected, abs=1e-7)
    assert sample["frame"].box_to_target(Box(0, 0.1, 1, 0.9)) == Box(0, 0, 1, 1)


def test_padding_shows_the_whole_image(prepared):
    sample = ImageSamples(prepared, crop=Crop(20, fit="pad"))[0]

    assert sample["image"][0, :, :2].max() == 0
    assert sample["image"][0, :, -2:].max() == 0
    assert sample["frame"].box_to_target(Box(0, 0, 1, 1)) == pytest.approx(Box(0.1, 0, 0.9, 1))


def test_a_smaller_crop_can_be_cut_from_a_larger_short_side(prepared):
    sample = ImageSamples(prepared, crop=Crop(12, short_side=16))[0]

    expected = prepared.image("frontal-0000")[4:16, 2:14] / np.float32(255)
    assert sample["image"][0].numpy() == pytest.approx(expected, abs=1e-7)


def test_samples_are_the_frontals_or_all_views_of_a_split(prepared):
    frontals = ImageSamples(prepared, crop=CROP, split="test")
    everything = ImageSamples(prepared, crop=CROP, split="test", views="all")

    assert [s["sample_id"] for s in frontals] == ["frontal-0040", "frontal-0041", "frontal-0090", "frontal-0091"]
    assert len(everything) > len(frontals)
    assert {s["patient_id"] for s in everything} == {"p004", "p009"}


def test_a_split_without_samples_is_an_error(prepared):
    with pytest.raises(NoSamples, match="'val'"):
        ImageSamples(prepared, crop=CROP, split="val")


def test_draws_are_a_function_of_seed_epoch_and_sample(prepared):
    first, same = (ImageSamples(prepared, crop=CROP, seed=1, augmentation=Augmentation()) for _ in range(2))
    other = ImageSamples(prepared, crop=CROP, seed=2, augmentation=Augmentation())

    assert torch.equal(first[SampleIndex(3, 5)]["image"], same[SampleIndex(3, 5)]["image"])
    assert not torch.equal(first[SampleIndex(3, 5)]["image"], first[SampleIndex(4, 5)]["image"])
    assert not torch.equal(first[SampleIndex(3, 5)]["image"], other[SampleIndex(3, 5)]["image"])


def test_text_is_the_sections_in_the_order_asked_for(prepared):
    sample = ImageTextSamples(prepared, crop=CROP, sections=["impression", "findings"])[0]

    assert sample["study_id"] == "s0001"
    assert sample["text"] == "Normal 0001. Heart 0001 is normal. No effusion. The lungs are clear."


def test_a_study_whose_sections_say_nothing_is_left_out(prepared):
    samples = ImageTextSamples(prepared, crop=CROP)

    assert len(samples) == len(prepared) - 1
    assert next(samples.texts()) == samples[0]["text"]


def test_phrases_are_those_of_the_study_or_else_the_sentences(prepared):
    samples = {s["study_id"]: s for s in ImageTextSamples(prepared, crop=CROP, sections=["findings"])}

    assert samples["s0010"]["phrases"] == ["Heart 0010 is normal."]
    assert samples["s0020"]["phrases"] == ["Heart 0020 is normal.", "No effusion.", "The lungs are clear."]


def test_a_pair_shows_the_prior_where_there_is_one(prepared):
    samples = {s["study_id"]: s for s in ImagePairSamples(prepared, crop=CROP, sections=["impression"])}
    images = {s["study_id"]: s["image"] for s in ImageSamples(prepared, crop=CROP)}

    second, first = samples["s0021"], samples["s0020"]
    assert second["has_previous"]
    assert torch.equal(second["previous_image"], images["s0020"])
    assert (second["previous_study_id"], second["previous_text"]) == ("s0020", "Normal 0020.")
    assert (first["has_previous"], first["previous_text"], first["previous_frame"]) == (False, None, None)
    assert first["previous_image"].shape == (1, 16, 16)
    assert not first["previous_image"].any()


STILL = {"brightness": 0, "contrast": 0}  # nothing but the window is drawn


def test_both_films_of_a_pair_are_cut_and_turned_alike(prepared):
    spatial = Augmentation(area=(0.5, 0.9), rotation=30, shear=15, **STILL)
    pairs = ImagePairSamples(prepared, crop=CROP, seed=3, augmentation=spatial)
    index = next(i for i, (row, _) in enumerate(pairs.items) if prepared.column("study_id")[row] == "s0021")

    sample = pairs[SampleIndex(2, index)]

    draw = generator(3, 2, "frontal-0021")
    window = draw_window(prepared.image("frontal-0021").shape, spatial, draw)
    for name, view in (("image", "frontal-0021"), ("previous_image", "frontal-0020")):
        cut, _ = cut_window(prepared.image(view), prepared.frame(view), 16, window)
        assert torch.allclose(sample[name], to_tensor(cut), atol=1e-6)
    assert sample["frame"] is sample["previous_frame"] is None


def test_brightness_and_contrast_of_a_pair_are_drawn_for_each_film(prepared):
    whole = {"area": (1, 1), "aspect": (1, 1)}
    still, jittered = (
        ImagePairSamples(prepared, crop=CROP, augmentation=Augmentation(**whole, **levels)) for levels in (STILL, {"contrast": 0})
    )

    shifts = []
    for plain, drawn in zip(still, jittered, strict=True):
        if plain["has_previous"]:
            moved = [(drawn[name] - plain[name])[(plain[name] > 0.3) & (plain[name] < 0.7)] for name in ("image", "previous_image")]
            shifts.append([part.mean().item() for part in moved])

    assert all(abs(now - before) > 1e-4 for now, before in shifts)


def test_films_of_other_shapes_share_a_window_as_shares():
    window = Window(side=0.5, stretch=1, place=(0.5, 1))

    assert window.pixels((40, 32)) == (12, 16, 16, 16)
    assert window.pixels((20, 40)) == (5, 30, 10, 10)


def test_without_augmentation_a_pair_shows_the_fixed_crop_in_every_epoch(prepared):
    pairs, images = ImagePairSamples(prepared, crop=CROP), ImageSamples(prepared, crop=CROP)
    by_study = {s["study_id"]: s for s in images}

    for epoch in (0, 1):
        for i in range(len(pairs)):
            sample = pairs[SampleIndex(epoch, i)]
            assert torch.equal(sample["image"], by_study[sample["study_id"]]["image"])
            if sample["has_previous"]:
                assert torch.equal(sample["previous_image"], by_study[sample["previous_study_id"]]["image"])
                assert sample["previous_frame"] == by_study[sample["previous_study_id"]]["frame"]


def test_a_registered_prior_lies_on_the_grid_of_the_current_film(prepared, monkeypatch):
    pytest.importorskip("SimpleITK")
    samples = ImagePairSamples(prepared, crop=CROP, registration="rigid")
    monkeypatch.setattr(samples.registered, "image", lambda previous, current: np.full_like(prepared.image(current), 51))

    sample = next(s for s in samples if s["has_previous"])

    assert sample["previous_image"].numpy() == pytest.approx(0.2)
    assert sample["previous_frame"] is None
    assert isinstance(sample["frame"], Frame)


def test_another_registration_is_refused(prepared):
    with pytest.raises(ValueError, match="'elastic'"):
        ImagePairSamples(prepared, crop=CROP, registration="elastic")


def test_the_prior_is_dropped_for_a_share_of_samples_anew_each_epoch(prepared):
    samples = ImagePairSamples(prepared, crop=CROP, prior_dropout=0.5)
    with_prior = [i for i, (row, _) in enumerate(samples.items) if prepared.column("prior_study_id")[row]]

    shown = [[samples[SampleIndex(epoch, i)]["has_previous"] for i in with_prior] for epoch in range(10)]

    assert 0.3 < np.mean(shown) < 0.7
    assert len({tuple(epoch) for epoch in shown}) > 1


def test_reporting_has_what_a_radiologist_has_and_none_where_it_is_missing(prepared):
    samples = {s["study_id"]: s for s in ReportingSamples(prepared, crop=CROP)}

    sample = samples["s0021"]
    assert sample["text"] == "Heart 0021 is normal. No effusion. The lungs are clear."
    assert sample["indication"] == "Cough 0021."
    assert sample["technique"] is None
    assert sample["comparison"] is None
    assert sample["previous_report"] == "Heart 0020 is normal. No effusion. The lungs are clear. Normal 0020."
    assert sample["has_lateral"]
    assert not samples["s0020"]["has_lateral"]
    assert not samples["s0020"]["lateral_image"].any()


def test_a_batch_stacks_images_and_keeps_lists(prepared):
    samples = ReportingSamples(prepared, crop=CROP)

    batch = collate([samples[SampleIndex(3, i)] for i in range(4)])

    assert batch["image"].shape == batch["previous_image"].shape == batch["lateral_image"].shape == (4, 1, 16, 16)
    assert batch["has_previous"].tolist() == [samples[i]["has_previous"] for i in range(4)]
    assert batch["epoch"] == 3
    assert isinstance(batch["text"], list)
    assert batch["technique"] == [None] * 4
    assert batch["frame"][1] == samples[1]["frame"]


def test_sections_that_are_blank_or_absent_say_nothing():
    assert join_sections({"findings": " \n ", "history": "x"}, ("findings", "impression")) is None


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("1. No edema. 2. Small effusion.", ["No edema.", "Small effusion."]),
        ("Discussed with Dr. Smith at 9:30. Unchanged.", ["Discussed with Dr. Smith at 9:30.", "Unchanged."]),
        ("A 1.5 cm nodule. ___ is stable", ["A 1.5 cm nodule.", "___ is stable"]),
        ("Sin cambios. Área cardiaca normal.", ["Sin cambios.", "Área cardiaca normal."]),
        ("...", []),
    ],
)
def test_a_text_splits_into_its_sentences(text, sentences):
    assert split_sentences(text) == sentences
