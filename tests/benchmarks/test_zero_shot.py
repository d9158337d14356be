import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from torch.nn.functional import normalize

from medvl.benchmarks import results
from medvl.benchmarks.zero_shot import NothingToClassify, ZeroShotClassification
from medvl.records import Study, View
from medvl.runtime.config import compose, instantiate

PROMPTS = {"lung_lesion": {"labels": ["Lung Lesion"], "positive": ["a dense area", "very dense"], "negative": ["clear lungs"]}}


def study(i: int, value: str | None, source: str = "chexpert") -> Study:
    labels = {source: {} if value is None else {"Lung Lesion": value}}
    return Study("mimic_cxr", f"p{i}", f"s{i}", views=(View(f"v{i}", projection="PA"),), labels=labels, privacy="public")


@pytest.fixture
def studies():
    return [study(i, "negative" if i % 2 else "positive") for i in range(10)]


def protocol(**options):
    return ZeroShotClassification(prompts=PROMPTS, crop=64, replicates=50, **options)


def test_a_model_that_knows_the_finding_separates_it(images, studies, brightness_model):
    found = protocol().evaluate(brightness_model(), images, studies, untrained=brightness_model(reversed_texts=True))

    assert found.metrics["zero_shot_auroc"]["value"] == 1
    assert found.metrics["zero_shot_auroc"]["untrained"]["value"] == 0
    assert found.per_finding["zero_shot_auroc"]["lung_lesion"]["n"] == 10
    assert found.protocol["positives"] == {"lung_lesion": 5}


def test_the_best_positive_prompt_counts_or_their_mean(images, brightness_model):
    class Sure(brightness_model):
        def embed_texts(self, texts):
            return super().embed_texts(texts) * torch.tensor([[1.0 if "very" in text else 0.5] for text in texts])

    def score(positive):
        return protocol(positive=positive).scores(Sure(), images, [study(0, "positive")])["lung_lesion"][0]

    cosine = Sure().embed_images(torch.zeros(1, 1, 64, 64)).projected_global_embedding[0, 0]
    assert cosine < 0
    best, mean = score("max"), score("mean")
    assert best / mean == pytest.approx((0.5 + 0.5) / (0.75 + 0.5))  # a dark image: the best is the least sure


@pytest.mark.parametrize(("policy", "n"), [("exclude", 10), ("positive", 11), ("negative", 11)])
def test_uncertain_labels_follow_the_named_policy(images, studies, policy, n, brightness_model):
    images["v10"] = images["v0"]
    found = protocol(uncertain=policy).evaluate(brightness_model(), images, [*studies, study(10, "uncertain")])

    assert found.per_finding["zero_shot_auroc"]["lung_lesion"]["n"] == n
    assert found.protocol["uncertain"] == policy


@pytest.mark.parametrize(("policy", "n"), [("negative", 11), ("exclude", 10)])
def test_findings_the_source_does_not_mention_follow_the_named_policy(images, studies, policy, n, brightness_model):
    images["v11"] = images["v1"]
    found = protocol(unmentioned=policy).evaluate(brightness_model(), images, [*studies, study(11, None)])

    assert found.per_finding["zero_shot_auroc"]["lung_lesion"]["n"] == n


def test_the_truth_is_the_chosen_source(images, studies, brightness_model):
    truth = [study(i, "positive" if i % 2 else "negative", source="radiologist") for i in range(10)]

    assert protocol(labels="radiologist").evaluate(brightness_model(), images, truth).metrics["zero_shot_auroc"]["value"] == 0
    with pytest.raises(NothingToClassify, match="'radiologist'"):
        protocol(labels="radiologist").evaluate(brightness_model(), images, studies)


def test_a_finding_without_both_classes_is_undefined_and_not_averaged(images, studies, brightness_model):
    prompts = PROMPTS | {"edema": PROMPTS["lung_lesion"] | {"labels": ["Edema"]}}

    found = ZeroShotClassification(prompts=prompts, crop=64, replicates=50).evaluate(brightness_model(), images, studies)

    assert found.per_finding["zero_shot_auroc"]["edema"]["value"] is None
    assert found.metrics["zero_shot_auroc"]["findings"] == ["lung_lesion"]


def test_the_headline_counts_studies_and_not_labels(images, studies, brightness_model):
    prompts = PROMPTS | {"lesion": PROMPTS["lung_lesion"]}

    found = ZeroShotClassification(prompts=prompts, crop=64, replicates=10).evaluate(brightness_model(), images, studies)

    assert found.metrics["zero_shot_auroc"]["n"] == 10


def test_scores_are_written_one_row_per_model_study_and_finding(tmp_path, images, studies, brightness_model):
    del images["v9"]
    found = protocol().evaluate(brightness_model(), images, studies, untrained=brightness_model())
    results.write(tmp_path, [found])

    table = found.tables["scores"]
    assert len(table) == 18
    assert found.protocol["studies_without_image"] == 1
    assert dict(zip(table["study_id"], table["label"], strict=True))["s3"] == "negative"
    assert (tmp_path / "scores.parquet").exists()


def test_a_finding_needs_both_kinds_of_prompt():
    with pytest.raises(NothingToClassify, match=r"prompts\.edema has no negative"):
        ZeroShotClassification(prompts={"edema": {"positive": ["edema"]}}, crop=64)


def test_the_headline_names_only_findings_with_prompts():
    with pytest.raises(NothingToClassify, match="did you mean 'lung_lesion'"):
        protocol(macro_over=["lung_lesions"])


def test_the_shipped_prompts_make_a_protocol():
    shipped = instantiate(compose("benchmark/zero_shot").benchmark)

    assert {"atelectasis", "cardiomegaly", "consolidation", "edema", "pleural_effusion", "pneumothorax"} <= set(shipped.prompts)


def test_the_shipped_grounding_protocol_is_the_published_one():
    shipped = instantiate(compose("benchmark/phrase_grounding").benchmark)

    assert (shipped.smoothing, list(shipped.thresholds)) == (1.5, [0.1, 0.2, 0.3, 0.4, 0.5])


class Projected:
    """Texts whose projections have the given lengths; images as they are."""

    def __init__(self, projections, image):
        self.projections, self.image = projections, image

    def embed_images(self, pixels, previous=None, has_previous=None):
        whole = torch.tensor(self.image).expand(len(pixels), -1)
        return SimpleNamespace(projected_global_embedding=whole, projected_patch_embeddings=whole[:, :, None, None])

    def embed_texts(self, texts, *, truncate=False, unit_length=True):
        found = torch.tensor([self.projections[text] for text in texts])
        return normalize(found, dim=1) if unit_length else found


def test_an_average_embedding_is_the_mean_of_projections_before_they_are_of_unit_length(images):
    model = Projected({"a dense area": [3.0, 0.0], "very dense": [0.0, 1.0], "clear lungs": [0.0, 2.0]}, image=[1.0, 0.0])

    score = protocol(positive="average_embedding").scores(model, images, [study(0, "positive")])["lung_lesion"][0]

    assert score == pytest.approx(1.5 / np.hypot(1.5, 0.5) - 0)
    assert protocol(positive="mean").scores(model, images, [study(0, "positive")])["lung_lesion"][0] == pytest.approx(0.5)


def test_the_probability_is_the_softmax_over_the_two_sides(images, studies, brightness_model):
    found = protocol(positive="average_embedding").evaluate(brightness_model(), images, studies)

    row = found.tables["scores"].iloc[0]
    positive, negative = np.exp(row["score"] / 2), np.exp(-row["score"] / 2)
    assert row["probability"] == pytest.approx(positive / (positive + negative))


def test_the_side_of_the_greater_cosine_is_the_decision(images, studies, brightness_model):
    found = protocol(threshold_rule="argmax").evaluate(brightness_model(), images, studies, untrained=brightness_model(reversed_texts=True))

    table = found.tables["scores"].query("model == 'trained'")
    truth, decided = table["label"] == "positive", table["score"] > 0
    assert found.metrics["zero_shot_accuracy"]["value"] == pytest.approx(accuracy_score(truth, decided))
    assert found.metrics["zero_shot_f1"]["value"] == pytest.approx(f1_score(truth, decided))
    assert found.metrics["zero_shot_accuracy"]["untrained"]["value"] == pytest.approx(1 - accuracy_score(truth, decided))
    assert found.protocol["threshold_rule"] == "argmax"
    assert "zero_shot_accuracy" not in protocol().evaluate(brightness_model(), images, studies).metrics


def test_the_shipped_rsna_protocol_is_the_published_one():
    shipped = instantiate(compose("benchmark/zero_shot_rsna").benchmark)

    assert (shipped.crop, shipped.short_side, shipped.positive, shipped.threshold_rule) == (480, 512, "average_embedding", "argmax")
    assert [len(sides["positive"]) + len(sides["negative"]) for sides in shipped.prompts.values()] == [2, 8]


def test_rsna_studies_are_classified_by_their_own_label(images, brightness_model):
    shipped = instantiate(compose("benchmark/zero_shot_rsna").benchmark)
    values = {"Lung Opacity": "positive", "No Lung Opacity / Not Normal": "negative", "Normal": "negative"}
    films = [
        Study(
            "rsna_pneumonia",
            f"p{i}",
            f"p{i}",
            views=(View(f"v{i}", projection="PA"),),
            labels={"rsna_pneumonia": values if i % 2 else dict(zip(values, ("negative", "negative", "positive"), strict=True))},
            privacy="public",
        )
        for i in range(6)
    ]

    found = dataclasses.replace(shipped, replicates=20).evaluate(brightness_model(), images, films)

    assert found.protocol["positives"] == {"pneumonia_two_prompts": 3, "pneumonia_eight_prompts": 3}
    assert found.metrics["zero_shot_auroc"]["findings"] == ["pneumonia_two_prompts"]
