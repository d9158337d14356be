"""CheXpert F1 equals scikit-learn's, for every resample; CheXbert similarity is a cosine."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from medvl.lexicon.chexpert import CLASSES
from medvl.metrics.bootstrap import estimate, resample
from medvl.metrics.chexbert import FINDINGS, TOP_5, binary_labels, chexpert_f1, rules, similarity
from medvl.models import chexbert as model

VALUES = st.sampled_from([None, "positive", "negative", "uncertain"])
LABELS = st.lists(VALUES, min_size=14, max_size=14)
PAIRS = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=6)


def recorded(*labels):
    """A labeller that answers from what is given, and the texts that ask for it."""
    table = {str(i): {f: v for f, v in zip(FINDINGS, row, strict=True) if v} for i, row in enumerate(labels)}
    return (lambda texts: [table[text] for text in texts]), list(table)


@pytest.mark.parametrize("uncertain", ["positive", "negative"])
@settings(max_examples=30)
@given(pairs=PAIRS)
def test_every_average_equals_scikit_learns(uncertain, pairs):
    labeller, texts = recorded(*(row for pair in pairs for row in pair))
    positive = {"positive", "uncertain"} if uncertain == "positive" else {"positive"}
    said, wanted = (np.array([[value in positive for value in pair[side]] for pair in pairs]) for side in (0, 1))
    five = [FINDINGS.index(f) for f in TOP_5]

    corpus = chexpert_f1(texts[::2], texts[1::2], labeller=labeller, uncertain=uncertain).corpus

    for columns, name in ((range(14), "14"), (five, "5")):
        for average in ("micro", "macro", "weighted"):
            expected = f1_score(wanted[:, columns], said[:, columns], average=average, zero_division=0)
            assert corpus[f"{average}_f1_{name}"] == pytest.approx(expected, abs=1e-12)
    assert corpus["exact_match_5"] == pytest.approx(accuracy_score(wanted[:, five], said[:, five]))
    assert corpus["label_accuracy_14"] == pytest.approx((said == wanted).mean())
    assert [corpus[f"f1/{f}"] for f in FINDINGS] == pytest.approx(f1_score(wanted, said, average=None, zero_division=0), abs=1e-12)


def test_one_hit_one_miss_and_one_hit():
    table = {"a": {"Edema": "positive"}, "b": {"Edema": "positive", "Pneumonia": "positive"}, "c": {"Pneumonia": "positive"}}

    corpus = chexpert_f1(["a", "c"], ["a", "b"], labeller=lambda texts: [table[t] for t in texts]).corpus

    assert corpus["micro_f1_14"] == pytest.approx(4 / 5)
    assert corpus["macro_f1_14"] == pytest.approx((2 / 3 + 1) / 14)
    assert corpus["f1/Edema"] == pytest.approx(2 / 3)


def test_a_resample_is_the_f1_of_the_drawn_reports():
    rng = np.random.default_rng(0)
    rows = rng.choice([None, "positive"], size=(12, 14), p=[0.6, 0.4])
    labeller, texts = recorded(*rows)
    said, wanted = texts[:6], texts[6:]
    weights = resample(list("aabbcd"), replicates=5, seed=1)

    resampled = chexpert_f1(said, wanted, labeller=labeller).statistics["macro_f1_14"](weights.astype(float))

    drawn = [np.repeat(np.arange(6), row) for row in weights]
    expected = [chexpert_f1([said[i] for i in d], [wanted[i] for i in d], labeller=labeller).corpus["macro_f1_14"] for d in drawn]
    np.testing.assert_allclose(resampled, expected, atol=1e-12)


def test_the_uncertain_mapping_and_the_labeller_stand_in_the_result():
    def rules_of_mine(texts):
        return [{"Edema": "uncertain"} for _ in texts]

    result = chexpert_f1(["a"], ["b"], labeller=rules_of_mine, uncertain="negative")

    assert result.name.endswith("rules_of_mine")
    assert "uncertain:negative" in result.signature
    assert result.corpus["f1/Edema"] == 0


def test_a_value_that_is_no_label_is_refused():
    with pytest.raises(ValueError, match="'maybe'"):
        binary_labels([{"Edema": "maybe"}], uncertain="positive")


def test_undefined_replicates_do_not_occur():
    labeller, texts = recorded(*[[None] * 14] * 2)

    result = chexpert_f1(texts[:1], texts[1:], labeller=labeller)

    assert estimate(result.statistics["macro_f1_14"], resample(["a"], replicates=3)).value == 0


def test_similarity_is_the_cosine_and_undefined_for_zero():
    vectors = {"a": (1, 0), "b": (1, 1), "0": (0, 0)}

    result = similarity(["a", "a"], ["b", "0"], embedder=lambda texts: [vectors[t] for t in texts])

    assert result.per_sample["semb_score"][0] == pytest.approx(2**-0.5)
    assert np.isnan(result.per_sample["semb_score"][1])


def test_model_metric_and_lexicon_name_the_same_findings_in_the_same_order():
    assert model.FINDINGS == FINDINGS == CLASSES


@pytest.mark.parametrize(("text", "language"), [("Possible edema.", "en"), ("Derrame pleural.", "es")])
def test_the_rule_labeller_reads_both_languages(text, language):
    (labels,) = rules([text], language=language)

    assert labels == ({"Edema": "uncertain"} if language == "en" else {"Pleural Effusion": "positive"})
