"""Fine-tuning on RadNLI, and the judge that it leaves."""

import json
from dataclasses import replace

import pytest
import torch

from medvl.benchmarks.entailment import EntailmentFineTuning
from medvl.benchmarks.entailment_judge import entailment_judge
from medvl.benchmarks.sentence_similarity import UnusablePairs
from medvl.judges.judge import EntailmentQuery
from medvl.models.cxr_bert import CxrBert
from medvl.models.entailment import RELATIONS, EntailmentClassifier, load_entailment, save_entailment
from medvl.models.tokenizer import train_wordpiece
from medvl.records import SentencePair
from medvl.runtime.config import compose, instantiate
from medvl.runtime.errors import MissingFile

HYPOTHESIS = {"entailment": "Yes, {}.", "neutral": "Perhaps {}.", "contradiction": "Never {}."}
NAMES = ("edema", "effusion", "nodule", "fracture", "opacity", "mass")


def pair(name, relation, split):
    return SentencePair(f"There is {name}.", HYPOTHESIS[relation].format(name), relation, split, f"{name}-{relation}", privacy="public")


def pairs_of(names, split):
    return [pair(name, relation, split) for name in names for relation in RELATIONS]


DEV, TEST = pairs_of(NAMES[:4], "dev"), pairs_of(NAMES[4:], "test")


def text_model(texts, *, width=16, layers=1, seed=0):
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = CxrBert(600, width=width, layers=layers, heads=2, feed_forward=2 * width, max_length=64, projection_size=8, dropout=0.0)
    model.set_tokenizer(train_wordpiece(texts, 600))
    return model.eval()


@pytest.fixture
def text():
    return text_model([sentence for p in (*DEV, *TEST) for sentence in (p.text_1, p.text_2)])


def fine_tuning(**options):
    plain = {"epochs": 25, "batch_size": 4, "learning_rate": 3e-3, "seeds": [0, 1], "replicates": 50}
    return EntailmentFineTuning(**{**plain, **options})


def test_words_that_decide_are_learnt_and_the_model_stays_as_it_is(text):
    before = {name: tensor.clone() for name, tensor in text.state_dict().items()}

    found = fine_tuning().evaluate(text, [*DEV, *TEST])

    accuracy = found.metrics["radnli_entailment_accuracy"]
    assert (accuracy["value"], accuracy["n"], accuracy["seeds"], accuracy["sd_over_seeds"]) == (1.0, 6, [1.0, 1.0], 0.0)
    assert found.metrics["radnli_entailment_macro_f1"]["value"] == 1.0
    assert set(found.per_finding["radnli_entailment_f1"]) == set(RELATIONS)
    assert all(torch.equal(tensor, before[name]) for name, tensor in text.state_dict().items())


def test_each_seed_and_the_untrained_model_are_in_the_table(text):
    found = fine_tuning(epochs=1).evaluate(text, [*DEV, *TEST], untrained=text_model(["a"], seed=1))

    table = found.tables["radnli_entailment_pairs"]
    assert len(table) == 2 * 2 * len(TEST)
    assert {"untrained", "difference"} < set(found.metrics["radnli_entailment_macro_f1"])
    assert table[[f"p_{relation}" for relation in RELATIONS]].sum(axis=1).to_numpy() == pytest.approx(1.0, abs=1e-5)


def test_the_same_seed_gives_the_same_classifier_and_draws_from_nobody_else(text):
    state = torch.random.get_rng_state()

    first, second = (fine_tuning(epochs=2).fine_tune(text, DEV, seed=3)[0].state_dict() for _ in range(2))

    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_dev_pairs_choose_the_epoch_where_there_are_train_pairs_of_their_own(text):
    train = [replace(p, subset="train") for p in pairs_of(NAMES[:3], "train")]
    dev = pairs_of(NAMES[3:4], "dev")

    chosen = fine_tuning(seeds=[0]).evaluate(text, [*train, *dev, *TEST]).protocol
    last = fine_tuning(seeds=[0]).evaluate(text, [*DEV, *TEST]).protocol

    assert chosen["epoch_chosen_on"] == "validation accuracy"
    assert 1 <= chosen["kept_epochs"]["trained"][0] < 25  # the first of those that get all right
    assert (last["epoch_chosen_on"], last["kept_epochs"]["trained"]) == ("none: the last epoch", [25])


def test_pairs_of_the_test_are_not_learnt_from_in_either_order_and_are_counted():
    repeated = SentencePair("NEVER MASS", "There is mass", "contradiction", "dev")

    parts, count = fine_tuning().parts([*DEV, repeated, *TEST])

    assert (count, parts.train) == (1, DEV)


def test_mednli_is_learnt_from_where_its_folder_is_given(tmp_path, text):
    for split, names in (("train", NAMES[:3]), ("dev", NAMES[3:4])):
        lines = [
            json.dumps({"sentence1": p.text_1, "sentence2": p.text_2, "gold_label": p.relation, "pairID": p.pair_id})
            for p in pairs_of(names, split)
        ]
        (tmp_path / f"mli_{split}_v1.jsonl").write_text("\n".join(lines))

    found = fine_tuning(mednli=str(tmp_path), epochs=1, seeds=[0]).evaluate(text, [*DEV, *TEST])

    assert found.protocol["learnt_from"] == "mednli"
    assert {name: sum(counts.values()) for name, counts in found.protocol["pairs"].items()} == {"train": 9, "validation": 3, "test": 6}
    assert found.privacy == "local_only"


def test_a_relation_without_a_pair_is_named(text):
    with pytest.raises(UnusablePairs, match="none of the 8 pairs to learn from is 'neutral'"):
        fine_tuning().evaluate(text, [*(p for p in DEV if p.relation != "neutral"), *TEST])
    with pytest.raises(UnusablePairs, match="none of the 0 pairs of the test split is 'entailment'"):
        fine_tuning().evaluate(text, DEV)


def test_an_empty_sentence_is_named(text):
    with pytest.raises(UnusablePairs, match="pair edema-entailment is empty"):
        fine_tuning().evaluate(text, [replace(DEV[0], text_2=" "), *DEV, *TEST])


def test_without_the_folder_of_mednli_the_file_is_named(text, tmp_path):
    with pytest.raises(MissingFile, match="does not exist"):
        fine_tuning(mednli=str(tmp_path)).evaluate(text, [*DEV, *TEST])


def test_the_saved_classifier_is_a_judge(text, tmp_path):
    fine_tuning(seeds=[0], save=str(tmp_path)).evaluate(text, [*DEV, *TEST])

    judge = instantiate(compose("judge_qualify", ["judge=entailment", f"judge.model={tmp_path}", "gold=x"]).judge)
    yes, no = judge.entail([EntailmentQuery(("There is mass.", "There is edema."), f"{word} edema.") for word in ("Yes,", "Never")])

    assert judge.name == "callable:entailment"
    assert (yes.status, no.status) == ("entailment", "not_entailment")
    assert set(yes.evidence) <= {"There is mass.", "There is edema."}


def test_other_weights_are_another_judge(text, tmp_path):
    for seed in (0, 1):
        torch.manual_seed(seed)
        save_entailment(EntailmentClassifier(text), tmp_path / str(seed))

    hashes = {entailment_judge(str(tmp_path / name)).prompt_hash for name in ("0", "1")}

    assert len(hashes) == 2
    assert load_entailment(tmp_path / "0").training is False


def test_a_judge_without_its_folder_says_so(tmp_path):
    with pytest.raises(MissingFile, match=r"model\.safetensors does not exist"):
        entailment_judge(str(tmp_path / "nowhere"))


@pytest.mark.slow
def test_inference_is_learnt_from_the_phantom_s_pairs_above_the_commonest_answer():
    from medvl.phantom.sentence_pairs import sentence_pairs
    from medvl.phantom.world import sample_patient

    patients = [sample_patient(index, seed=0) for index in range(350)]
    made = {(p.text_1, p.text_2): p for p in sentence_pairs(patients, seed=0) if p.subset == "RadNLI" and p.language == "en"}
    pairs = [replace(p, subset="test" if i % 4 == 0 else "train") for i, p in enumerate(made.values())]
    text = text_model([s for p in pairs if p.subset == "train" for s in (p.text_1, p.text_2)], width=64, layers=2)

    found = fine_tuning(epochs=8, batch_size=32, learning_rate=1e-3, seeds=[0]).evaluate(text, pairs)

    accuracy = found.metrics["radnli_entailment_accuracy"]
    assert accuracy["ci_low"] > found.protocol["majority_share"] + 0.1
