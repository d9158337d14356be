"""Progression between two films, on films whose grey level is the severity, with an encoder that sees a change of it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from images_in_memory import Images
from torch import nn
from torch.nn.functional import avg_pool2d, normalize

from medvl.benchmarks import results
from medvl.benchmarks.progression import ProgressionClassification
from medvl.benchmarks.progression_draws import altered, one_of
from medvl.benchmarks.progression_films import Films, PairImages
from medvl.benchmarks.progression_fine_tuning import FineTuning, _class_weights
from medvl.benchmarks.progression_frozen import FoldedSvm, LinearHead
from medvl.benchmarks.progression_heads import static_films
from medvl.benchmarks.progression_pairs import UNLABELLED, MissingPairImage, NoProgressionPairs, PairSplits, UnknownProgression
from medvl.benchmarks.progression_prompts import PairPrompts
from medvl.data.progression_samples import ProgressionPair
from medvl.data.transforms import Augmentation
from medvl.metrics.progression import CLASSES
from medvl.models.biovil_t import BioVilTImageModel
from medvl.models.resnet import SmallResNet
from medvl.runtime.config import compose, instantiate
from medvl.runtime.errors import UserError

SIZE = 8
FINDINGS = ("edema", "consolidation")
STEP = {"improving": -30, "stable": 0, "worsening": 30}
PROMPTS = {finding: {"improving": ["less dense"], "stable": ["the same"], "worsening": ["more dense"]} for finding in FINDINGS}


class ChangeEncoder(nn.Module):
    """Patches: grey level, its change since the previous film (0 without one), a constant, with both signs, each scaled as it learns."""

    def __init__(self, *, blind=False):
        super().__init__()
        self.scale, self.blind = nn.Parameter(torch.ones(3)), blind

    def forward(self, current, previous=None, has_previous=None):
        light = avg_pool2d(current, SIZE // 2)
        change = torch.zeros_like(light) if previous is None or self.blind else light - avg_pool2d(previous, SIZE // 2)
        if has_previous is not None:
            change = change * has_previous[:, None, None, None]
        patches = torch.cat([4 * change, light, torch.full_like(light, 0.5)], dim=1) * self.scale[:, None, None]
        return SimpleNamespace(patch_embeddings=torch.cat([patches, -patches], dim=1))


class Model(nn.Module):
    """An image-text model about that encoder; a pair's embedding points to the left or right with the change."""

    temperature = 0.1

    def __init__(self, *, blind=False):
        super().__init__()
        self.image = ChangeEncoder(blind=blind)
        self.eval()

    def embed_images(self, pixels, previous=None, has_previous=None):
        change = self.image(pixels, previous, has_previous).patch_embeddings.mean(dim=(2, 3))[:, 0]
        return SimpleNamespace(projected_global_embedding=normalize(torch.stack([4 * change, torch.ones_like(change)], dim=1), dim=1))

    def embed_texts(self, texts, *, truncate=False, unit_length=True):
        return torch.tensor([[1.0, 0.2] if "more" in text else [-1.0, 0.2] if "less" in text else [0.0, 1.0] for text in texts])


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def cohort(name, patients, images, seed):
    """Two pairs a patient; the current grey level says nothing of the change."""
    draw = np.random.default_rng(seed)
    pairs = []
    for i in range(2 * patients):
        labels = {finding: str(draw.choice(CLASSES)) for finding in FINDINGS[: 1 + i % 2]}
        labels = dict.fromkeys(labels, labels["edema"])
        now = int(draw.integers(60, 190))
        key = f"{name}{i}"
        images[key] = np.full((SIZE, SIZE), now, np.uint8)
        images[f"{key}/before"] = np.full((SIZE, SIZE), now - STEP[labels["edema"]] + int(draw.integers(-5, 6)), np.uint8)
        pairs.append(ProgressionPair(name, f"{name}-p{i // 2}", f"s{key}", key, f"{key}/before", labels, "public"))
    return pairs


@pytest.fixture(scope="module")
def world():
    images = Images()
    parts = (("chest_imagenome", 60), ("silver", 10), ("ms_cxr_t", 30))
    return images, PairSplits(*(cohort(name, patients, images, seed) for seed, (name, patients) in enumerate(parts)))


def tuning(**options):
    return FineTuning(
        **{"seeds": (0,), "steps": 80, "batch_size": 16, "head_learning_rate": 1e-2, "warmup_steps": 5, "hidden": 16} | options
    )


def benchmark(protocol, **options):
    return ProgressionClassification(protocol, crop=SIZE, findings=FINDINGS, **{"replicates": 100} | options)


@pytest.fixture(scope="module")
def fine_tuned(world):
    torch.set_num_threads(1)
    return benchmark(tuning()).evaluate(Model(), *world, untrained=Model(blind=True))


@pytest.mark.slow
def test_the_pair_model_beats_the_current_film_alone(fine_tuned):
    beside = fine_tuned.metrics["progression_P0_macro_accuracy_beside_current"]

    assert beside["value"] > 0.9
    assert beside["current"]["value"] < 0.6
    assert beside["difference"]["ci_low"] > 0.2


@pytest.mark.slow
def test_the_untrained_model_stands_beside_the_headline(fine_tuned):
    headline = fine_tuned.metrics["progression_P0_macro_accuracy"]

    assert headline["findings"] == list(FINDINGS)
    assert headline["value"] == fine_tuned.metrics["progression_P0_macro_accuracy_beside_concatenated"]["value"]
    assert headline["untrained"]["value"] < 0.6
    assert headline["difference"]["ci_low"] > 0


@pytest.mark.slow
def test_exchanged_films_reverse_the_class(fine_tuned):
    assert fine_tuned.metrics["progression_P0_flipped_share"]["value"] > 0.9
    assert fine_tuned.metrics["progression_P0_swapped_macro_accuracy"]["value"] > 0.9


@pytest.mark.slow
def test_without_its_prior_the_pair_model_falls_to_the_current_film_alone(fine_tuned):
    blank = fine_tuned.metrics["progression_P0_blank_prior_macro_accuracy_beside_current"]

    assert blank["value"] < 0.6
    assert blank["difference"]["ci_low"] < 0.1


@pytest.mark.slow
def test_the_result_states_its_protocol_and_everything_it_depends_on(fine_tuned):
    said = fine_tuned.protocol

    assert fine_tuned.benchmark == "progression_P0"
    assert all("_P0_" in name for name in (*fine_tuned.metrics, *fine_tuned.per_finding, *fine_tuned.tables))
    assert said["protocol"]["name"] == "P0"
    assert said["protocol"]["steps"] == 80
    assert said["label_sources"] == {"training": ["chest_imagenome"], "validation": ["silver"], "test": ["ms_cxr_t"]}
    assert sum(said["classes_by_finding"]["training"]["edema"].values()) == 120
    assert sum(said["classes_by_finding"]["training"]["consolidation"].values()) == 60
    assert said["macro_accuracy_by_seed"]["temporal"]["edema"] == [
        fine_tuned.per_finding["progression_P0_macro_accuracy"]["edema"]["value"]
    ]
    assert said["validation_macro_accuracy_by_seed"]["temporal"]["edema"][0] > 0.7


@pytest.mark.slow
def test_the_figures_can_be_computed_again_from_the_table(fine_tuned, tmp_path):
    results.write(tmp_path, [fine_tuned])
    table = fine_tuned.tables["progression_P0_predictions"]

    rows = table[(table["condition"] == "temporal") & (table["model"] == "trained") & (table["finding"] == "edema")]
    recall = (rows["truth"] == rows["prediction"]).groupby([rows["seed"], rows["truth"]]).mean()

    assert recall.mean() == pytest.approx(fine_tuned.per_finding["progression_P0_macro_accuracy"]["edema"]["value"])
    assert set(table["condition"]) == {"current", "concatenated", "temporal", "swapped", "blank_prior"}
    assert (rows["prediction"] == rows[[f"p_{name}" for name in CLASSES]].idxmax(axis=1).str[2:]).all()


def test_fine_tuning_leaves_the_model_as_it_was_and_repeats_itself(world):
    images, pairs = world
    model = Model()
    protocol = tuning(steps=10, dropout=0.2, augmentation=Augmentation(area=(0.7, 1.0)), swap=0.5, prior_dropout=0.2)

    first, second = (
        protocol.predict(model, PairImages(images, SIZE), ["temporal"], FINDINGS, replace(pairs, validation=[]))["temporal"]
        for _ in range(2)
    )

    assert np.array_equal(first.of_arm(), second.of_arm())
    assert torch.equal(model.image.scale, torch.ones(3))


def test_the_figure_is_the_mean_over_seeds(world):
    images, pairs = world

    found = benchmark(tuning(seeds=(0, 1, 2), steps=8), baselines=(), replicates=10).evaluate(
        Model(), images, replace(pairs, validation=[])
    )

    by_seed = found.protocol["macro_accuracy_by_seed"]["temporal"]["edema"]
    assert len(set(by_seed)) > 1
    assert found.per_finding["progression_P0_macro_accuracy"]["edema"]["value"] == pytest.approx(np.mean(by_seed))


@pytest.mark.parametrize("learn", ["encoder", "head"])
def test_the_encoder_learns_unless_it_is_held(world, learn):
    images, pairs = world
    model = Model()

    classifier, _ = tuning(steps=5, learn=learn).fine_tune(model.image, PairImages(images, SIZE), "temporal", FINDINGS, pairs.train, 0)

    assert torch.equal(classifier.encoder.scale, model.image.scale) == (learn == "head")


def small_biovil_t():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trunk = SmallResNet((8, 8, 8, 16))
        return BioVilTImageModel(trunk, projection_size=4, width=8, heads=2, blocks=1, drop_path=0.0).eval()


def test_the_change_learns_on_static_maps_that_are_held(world):
    images, pairs = world
    encoder = small_biovil_t()

    classifier, _ = tuning(steps=5, learn="change").fine_tune(encoder, PairImages(images, 16), "temporal", FINDINGS, pairs.train[:20], 0)

    learned, before = classifier.encoder.state_dict(), encoder.state_dict()
    changed = {name for name in before if not torch.equal(learned[name], before[name])}
    assert any("vit_pooler" in name for name in changed)
    assert not [name for name in changed if name.startswith(("encoder.encoder.", "encoder.backbone_to_vit."))]


@pytest.mark.parametrize("arm", ["current", "concatenated", "temporal"])
def test_kept_static_maps_give_what_the_films_give(world, arm):
    images, pairs = world
    model = SimpleNamespace(image=small_biovil_t())
    asked = (PairImages(images, 16), ["current", arm], FINDINGS, PairSplits(pairs.train[:20], [], pairs.test[:7]))

    kept = tuning(steps=3, learn="change").predict(model, *asked)[arm]
    anew = tuning(steps=3, learn="change", augmentation=Augmentation(area=(1, 1), aspect=(1, 1), brightness=0, contrast=0)).predict(
        model, *asked
    )[arm]

    assert np.allclose(kept.of_arm(), anew.of_arm(), atol=1e-5)


def test_arms_share_static_maps_but_the_registered_one_has_its_own(world):
    images, pairs = world
    model = SimpleNamespace(image=small_biovil_t())
    source = PairImages(images, 16, registered=LaidOver(images))
    asked = (FINDINGS, PairSplits(pairs.train[:20], [], pairs.test[:7]))
    arms = ["concatenated", "registered", "temporal"]

    together = tuning(steps=3, learn="change").predict(model, source, arms, *asked)

    for arm in arms:
        alone = tuning(steps=3, learn="change").predict(model, source, [arm], *asked)[arm]
        assert np.array_equal(together[arm].of_arm(), alone.of_arm())
    assert not np.array_equal(together["registered"].of_arm(), together["concatenated"].of_arm())


def test_kept_draws_are_the_films_as_they_are_and_as_they_were_drawn(world):
    images, pairs = world
    model = SimpleNamespace(image=small_biovil_t())
    asked = (PairImages(images, 16), ["temporal"], FINDINGS, PairSplits(pairs.train[:20], [], pairs.test[:7]))
    nothing, some = Augmentation(area=(1, 1), aspect=(1, 1), brightness=0, contrast=0), Augmentation(brightness=0.5)

    plain = tuning(steps=3, learn="change").predict(model, *asked)["temporal"]
    same, drawn, again = (
        tuning(steps=3, learn="change", augmentation=augmentation, kept_draws=2).predict(model, *asked)["temporal"]
        for augmentation in (nothing, some, some)
    )

    assert np.allclose(same.of_arm(), plain.of_arm(), atol=1e-5)
    assert not np.allclose(drawn.of_arm(), plain.of_arm(), atol=1e-5)
    assert np.array_equal(drawn.of_arm(), again.of_arm())


def test_a_step_takes_each_pair_from_any_of_the_draws():
    draws = [Films(*(torch.full((5, 1), 10.0 * draw) + torch.arange(5.0)[:, None] for _ in range(3))) for draw in range(3)]

    steps = [one_of(draws, [4, 0, 2], seed=1, step=step).current[:, 0] for step in range(20)]

    assert all((values % 10).tolist() == [4, 0, 2] for values in steps)
    assert {int(value) // 10 for values in steps for value in values} == {0, 1, 2}


@pytest.mark.parametrize(
    "options",
    [{"learn": "change"}, {"augmentation": Augmentation()}, {"learn": "change", "augmentation": Augmentation(), "kept_draws": 0}],
)
def test_draws_are_kept_only_where_there_are_static_maps_to_keep(options):
    with pytest.raises(UserError, match=r"kept_draws.*needs learn=change and an augmentation"):
        tuning(**{"kept_draws": 2} | options)


@pytest.mark.parametrize("learn", ["encoder", "change"])
def test_a_pair_read_in_both_orders_gives_both_encodings_and_nothing_of_a_film_that_is_not_there(world, learn):
    images, pairs = world
    encoder, films = small_biovil_t(), PairImages(images, 16).films(pairs.train[:4], "temporal")
    classifier = tuning(learn=learn, both_orders=True)._classifier(encoder, PairImages(images, 16), "temporal", 2, pairs.train[:1]).eval()
    read = films if learn == "encoder" else static_films(encoder, films)

    with torch.no_grad():
        after, before = classifier._maps(read)
        turned_after, turned_before = classifier._maps(read.shown("swapped"))
        _, absent = classifier._maps(read.shown("blank_prior"))
        expected = encoder(films.current, films.previous).patch_embeddings

    assert torch.allclose(after, expected, atol=1e-5)
    assert torch.allclose(before, turned_after, atol=1e-5)
    assert torch.allclose(after, turned_before, atol=1e-5)
    assert not absent.any()


def test_a_model_of_single_films_stands_beside_with_its_two_encodings(world):
    folder = "outputs/train/biovil/model"

    found = benchmark(tuning(learn="head"), static=folder).evaluate(Model(), *world, static=Model(blind=True))

    beside = found.metrics["progression_P0_macro_accuracy_beside_static_concatenated"]
    assert found.protocol["static"] == folder
    apart = found.metrics["progression_P0_macro_accuracy_beside_concatenated"]["concatenated"]
    assert beside["static_concatenated"]["value"] == apart["value"]
    assert beside["difference"]["value"] == pytest.approx(beside["value"] - beside["static_concatenated"]["value"])


def test_what_a_model_of_single_films_learns_of_change_is_its_head(world):
    images, pairs = world
    asked = (Model(blind=True), PairImages(images, 16), ["concatenated"], FINDINGS, PairSplits(pairs.train[:20], [], pairs.test[:7]))

    change, head = (tuning(steps=3, learn=learn).predict(*asked)["concatenated"] for learn in ("change", "head"))

    assert np.allclose(change.of_arm(), head.of_arm(), atol=1e-6)


def test_a_static_encoder_has_no_change_to_learn(world):
    with pytest.raises(UserError, match=r"learn=change needs a multi-image encoder .* got ChangeEncoder"):
        benchmark(tuning(learn="change")).evaluate(Model(), *world)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"balance": "sampling"},
        {"pooling": "attention"},
        {"precision": "bf16-mixed"},
        {"hidden": 0},
        {"swap": 0.5},
        {"both_orders": True},
    ],
)
def test_every_option_learns_the_change(world, options):
    images, pairs = world

    found = benchmark(tuning(**options), baselines=(), replicates=10).evaluate(Model(), images, replace(pairs, validation=[]))

    assert found.metrics["progression_P0_macro_accuracy"]["value"] > 0.8


def test_both_films_of_a_pair_are_cut_alike():
    draw = np.random.default_rng(0)
    film = draw.integers(0, 255, (SIZE, SIZE)).astype(np.uint8)
    images = PairImages(Images(now=film, before=film), SIZE)
    pair = ProgressionPair("x", "p", "s", "now", "before", {"edema": "stable"})

    films = images.films([pair], "temporal", augmentation=Augmentation(area=(0.3, 0.6), brightness=0, contrast=0), epoch=3)

    assert torch.equal(films.current, films.previous)
    assert not torch.equal(films.current, images.films([pair], "temporal").current)


def test_exchanging_pairs_in_training_reverses_their_labels(world):
    images, pairs = world
    films = PairImages(images, SIZE).films(pairs.train[:4], "temporal")
    labels = torch.tensor([[0, 1], [2, UNLABELLED], [1, 1], [0, 0]])

    turned, reversed_labels = altered(films, labels, 0, 0, swap=1.0, prior_dropout=0.0)

    assert torch.equal(turned.current, films.previous)
    assert reversed_labels.tolist() == [[2, 1], [0, UNLABELLED], [1, 1], [2, 2]]


def test_the_classes_of_a_finding_weigh_alike():
    weights = _class_weights(torch.tensor([[0, 1], [0, UNLABELLED], [0, 2], [1, 2]]))

    assert weights[0].tolist() == pytest.approx([4 / (2 * 3), 4 / 2, 0.0])
    assert (weights[0] * torch.tensor([3, 1, 0])).sum() == pytest.approx(4)


class LaidOver:
    """Registration that puts the current film in the place of the previous one."""

    def __init__(self, images):
        self.images = images

    def image(self, view_id, current_view_id):
        return self.images[current_view_id]


@pytest.mark.slow
def test_the_registered_arm_sees_the_registered_prior(world):
    found = benchmark(tuning(), baselines=("concatenated", "registered"), registration=LaidOver).evaluate(Model(), *world)

    assert found.metrics["progression_P0_macro_accuracy_beside_registered"]["registered"]["value"] < 0.6
    assert found.metrics["progression_P0_macro_accuracy_beside_concatenated"]["concatenated"]["value"] > 0.6
    assert found.protocol["registration"] == {"name": "LaidOver"}


@pytest.mark.parametrize(("protocol", "tested"), [(LinearHead(strengths=(1.0, 10.0)), "some"), (FoldedSvm(strength=1.0), "all")])
def test_frozen_features_of_the_pair_suffice_for_protocols_a_and_b(world, protocol, tested):
    images, pairs = world

    found = benchmark(protocol).evaluate(Model(), images, PairSplits([], [], pairs.test), untrained=Model(blind=True))

    name = f"progression_{protocol.name}"
    assert found.metrics[f"{name}_macro_accuracy"]["value"] > 0.8
    assert found.metrics[f"{name}_macro_accuracy_beside_current"]["difference"]["value"] > 0.2
    assert found.metrics[f"{name}_flipped_share"]["value"] > 0.8
    assert (found.protocol["pairs"]["test"] == len(pairs.test)) == (tested == "all")
    assert found.protocol["pairs"]["training"] == 0


def test_folds_keep_a_patient_together(world):
    test = world[1].test

    fold = FoldedSvm(folds=5)._fold_of(test)

    assert all(
        len({f for f, pair in zip(fold, test, strict=True) if pair.patient_id == patient}) == 1 for patient in {p.patient_id for p in test}
    )
    assert set(fold) == set(range(5))


def test_prompts_classify_pairs_without_training(world):
    images, pairs = world

    found = benchmark(PairPrompts(PROMPTS)).evaluate(Model(), images, PairSplits([], [], pairs.test))

    assert found.metrics["progression_C_macro_accuracy"]["value"] > 0.9
    assert found.metrics["progression_C_flipped_share"]["value"] > 0.9
    assert found.metrics["progression_C_macro_accuracy_beside_current"]["current"]["value"] == pytest.approx(1 / 3)
    assert found.protocol["undefined_arms"] == ["concatenated"]
    assert found.protocol["protocol"]["prompts"]["edema"]["stable"] == ["the same"]


def test_a_part_without_pairs_is_named(world):
    images, pairs = world

    with pytest.raises(NoProgressionPairs, match="no training pair: 0 training pairs were given"):
        benchmark(tuning()).evaluate(Model(), images, replace(pairs, train=[]))
    with pytest.raises(NoProgressionPairs, match="no test pair"):
        benchmark(tuning()).evaluate(Model(), images, replace(pairs, test=[]))


def test_an_unknown_class_is_named(world):
    images, pairs = world
    mislabelled = pairs.train[0]._replace(study_id="s7", labels={"edema": "worsened"})

    with pytest.raises(UnknownProgression, match=r"study s7 labels edema 'worsened'.*did you mean 'worsening'"):
        benchmark(tuning()).evaluate(Model(), images, replace(pairs, train=[mislabelled]))


def test_a_missing_prior_image_is_named_or_left_out(world):
    images, pairs = world
    lost = replace(pairs, test=[pairs.test[0]._replace(previous_view_id="gone"), *pairs.test[1:]])

    with pytest.raises(MissingPairImage, match=r"previous film gone of the test pair .* missing_images=leave_out"):
        benchmark(tuning()).evaluate(Model(), images, lost)
    found = benchmark(FoldedSvm(), missing_images="leave_out").evaluate(Model(), images, lost)
    assert (found.protocol["pairs"]["test"], found.protocol["pairs_given"]["test"]) == (len(pairs.test) - 1, len(pairs.test))


def test_patients_of_the_test_may_not_be_in_training(world):
    images, pairs = world

    with pytest.raises(NoProgressionPairs, match="1 patients of the test pairs are in training"):
        benchmark(tuning()).evaluate(Model(), images, replace(pairs, train=[*pairs.train, pairs.test[0]]))


def test_a_model_in_training_mode_is_refused(world):
    with pytest.raises(ValueError, match="training mode"):
        benchmark(tuning(steps=1)).evaluate(Model().train(), *world)


def test_registration_is_needed_for_the_registered_arm():
    with pytest.raises(NoProgressionPairs, match="needs `registration`"):
        benchmark(tuning(), baselines=("registered",))


def test_prompts_are_needed_for_every_class_and_finding(world):
    images, pairs = world

    with pytest.raises(NoProgressionPairs, match=r"prompts\.edema has no sentence for 'stable'"):
        PairPrompts({"edema": {"improving": ["better"], "worsening": ["worse"]}})
    with pytest.raises(NoProgressionPairs, match="no prompts for 'consolidation'"):
        benchmark(PairPrompts({"edema": PROMPTS["edema"]})).evaluate(Model(), images, PairSplits([], [], pairs.test))


def test_the_shipped_protocols_are_the_named_ones():
    for file, name in {"P0": "P0", "P0_small": "P0", "A": "A", "B": "B", "C": "C"}.items():
        shipped = instantiate(
            compose("evaluate", ["data=phantom", "benchmark=progression", f"progression_protocol@benchmark.protocol={file}"]).benchmark
        )

        assert shipped.protocol.name == name
        if file == "P0":
            assert (len(shipped.protocol.seeds), shipped.crop, shipped.short_side) == (4, 448, 512)
        if name == "C":
            assert set(shipped.protocol.prompts) == set(shipped.findings)
