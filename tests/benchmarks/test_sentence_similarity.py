import numpy as np
import pytest
import torch

from medvl.benchmarks.sentence_similarity import SentenceSimilarity, UnusablePairs
from medvl.records import SentencePair

FINDINGS = ("edema", "effusion", "nodule", "fracture", "opacity", "mass", "collapse", "fluid", "haze", "reflux", "scar", "shadow")


class ChangeModel:
    """Knows one thing: sentences with ``worse`` or ``larger`` point one way, all others the opposite way; deaf, it knows nothing."""

    def __init__(self, *, deaf=False):
        self.deaf, self.seen = deaf, []

    def embed_texts(self, texts):
        self.seen += texts
        return torch.tensor([[1.0 if self.deaf or "worse" in text or "larger" in text else -1.0, 0.0] for text in texts])


def pair(first, second, relation, subset="Swaps", number=0):
    return SentencePair(first, second, relation, subset, f"{subset}-{number}", privacy="public")


PAIRS = [
    made
    for i, finding in enumerate(FINDINGS)
    for made in (
        pair(f"The {finding} is worse.", f"Larger {finding}, larger.", "paraphrase", "RadGraph" if i % 2 else "Swaps", i),
        pair(f"The {finding} is worse.", f"The {finding} is better.", "contradiction", "RadGraph" if i % 2 else "Swaps", i + 100),
    )
]


def similarity(**options):
    return SentenceSimilarity("sentence_similarity", "ms_cxr_t", **{"folds": 5, "replicates": 50, **options})


def test_a_model_that_hears_change_tells_paraphrases_from_contradictions():
    model = ChangeModel()

    found = similarity().evaluate(model, PAIRS)

    assert set(found.metrics) == {"sentence_similarity_accuracy", "sentence_similarity_auroc"}
    assert {entry["value"] for entry in found.metrics.values()} == {1.0}
    assert found.metrics["sentence_similarity_accuracy"]["n"] == 24
    assert len(model.seen) == len(set(model.seen)) == 36


def test_an_untrained_model_stands_beside_it_with_the_paired_difference():
    found = similarity().evaluate(ChangeModel(), PAIRS, untrained=ChangeModel(deaf=True))

    auroc = found.metrics["sentence_similarity_auroc"]
    assert (auroc["untrained"]["value"], auroc["difference"]["value"]) == (0.5, 0.5)
    assert set(found.tables["sentence_similarity_pairs"]["model"]) == {"trained", "untrained"}


def test_figures_are_given_for_each_subset_at_the_thresholds_of_all_pairs():
    pairs = [p for p in PAIRS if p.subset == "Swaps" or p.relation == "paraphrase"]

    found = similarity().evaluate(ChangeModel(), pairs)

    subsets = found.per_finding["sentence_similarity_accuracy"]
    assert {name: (entry["value"], entry["n"]) for name, entry in subsets.items()} == {"RadGraph": (1.0, 6), "Swaps": (1.0, 12)}
    assert found.per_finding["sentence_similarity_auroc"]["RadGraph"]["value"] is None  # no contradiction among them


def test_pairs_that_share_a_sentence_stand_in_one_fold_unless_plain_folds_are_asked_for():
    grouped, plain = (similarity(grouped=grouped).evaluate(ChangeModel(), PAIRS) for grouped in (True, False))

    for found, shared in ((grouped, True), (plain, False)):
        folds = found.tables["sentence_similarity_pairs"].groupby("group")["fold"].nunique()
        assert len(folds) == found.protocol["sentence_groups"] == len(FINDINGS)
        assert (folds == 1).all() == shared
    assert (grouped.protocol["grouped"], plain.protocol["grouped"]) == (True, False)


def test_case_and_the_last_stop_make_no_other_sentence():
    pairs = [*PAIRS, pair("the EDEMA is worse", "Smaller edema.", "contradiction")]

    table = similarity().evaluate(ChangeModel(), pairs).tables["sentence_similarity_pairs"]

    assert table["group"].iloc[-1] == table["group"].iloc[0]


def test_only_the_two_published_relations_enter_and_the_others_are_counted():
    pairs = [
        *(pair(p.text_1, p.text_2, "entailment" if p.relation == "paraphrase" else p.relation, "test", i) for i, p in enumerate(PAIRS)),
        pair("The heart is large.", "The lungs are clear.", "neutral", "test"),
        pair("The heart is large.", "Cardiomegaly.", "entailment", "dev"),
    ]

    found = SentenceSimilarity("radnli_two_class", "radnli", subsets=["test"], folds=5, replicates=20).evaluate(ChangeModel(), pairs)

    assert set(found.metrics) == {"radnli_two_class_accuracy", "radnli_two_class_auroc"}
    assert found.protocol["pairs"] == {"entailment": 12, "contradiction": 12}
    assert found.protocol["left_out"] == {"test, neutral": 1, "dev, entailment": 1}
    assert found.protocol["majority_share"] == 0.5


def test_thresholds_that_call_all_alike_can_be_written_as_json():
    protocol = similarity().evaluate(ChangeModel(deaf=True), PAIRS[:-1]).protocol

    assert set(protocol["thresholds"]["trained"]) == {None}


def test_the_strictest_policy_of_the_pairs_goes_with_the_result():
    secret = SentencePair("The haze is worse.", "Haze, better.", "contradiction", "Swaps", "x", privacy="local_only")

    assert similarity().evaluate(ChangeModel(), PAIRS).privacy == "public"
    assert similarity().evaluate(ChangeModel(), [*PAIRS, secret]).privacy == "local_only"


def test_figures_do_not_depend_on_the_order_of_the_pairs():
    order = np.random.default_rng(0).permutation(len(PAIRS))

    first, second = (similarity().evaluate(ChangeModel(deaf=True), pairs).metrics for pairs in (PAIRS, [PAIRS[i] for i in order]))

    assert first == second


@pytest.mark.parametrize("relation", ["paraphrase", "contradiction"])
def test_a_relation_without_a_pair_is_named(relation):
    with pytest.raises(UnusablePairs, match=f"none of 12 is '{relation}'"):
        similarity().evaluate(ChangeModel(), [p for p in PAIRS if p.relation != relation])


def test_an_empty_sentence_is_named():
    with pytest.raises(UnusablePairs, match="a sentence of pair Swaps-7 is empty"):
        similarity().evaluate(ChangeModel(), [*PAIRS, pair("The mass is larger.", " . ", "paraphrase", number=7)])


def test_an_unknown_subset_names_the_nearest():
    with pytest.raises(UnusablePairs, match="no pair — did you mean 'Swaps'"):
        similarity(subsets=["Swap"]).evaluate(ChangeModel(), PAIRS)


def test_fewer_groups_than_folds_are_an_error():
    with pytest.raises(UnusablePairs, match="24 pairs in 12 groups cannot make 13 folds"):
        similarity(folds=13).evaluate(ChangeModel(), PAIRS)


def test_a_model_in_training_mode_is_refused():
    class Training(torch.nn.Linear):
        embed_texts = ChangeModel.embed_texts

    with pytest.raises(ValueError, match="training mode"):
        similarity().evaluate(Training(1, 1), PAIRS)
