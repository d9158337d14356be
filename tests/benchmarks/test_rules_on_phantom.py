"""The rules judge on the phantom's inference pairs in the frozen phrasings, which neither the rules nor the lexicon were written for."""

import pytest

from medvl.benchmarks.judge_qualification import qualify
from medvl.data.entailment_gold import from_pairs
from medvl.judges.rules import RulesJudge
from medvl.phantom.sentence_pairs import sentence_pairs
from medvl.phantom.world import sample_patient, split_of

SEED = 3


@pytest.mark.slow
@pytest.mark.parametrize(("language", "least"), [("en", 0.95), ("es", 0.95)])
def test_inference_in_frozen_phrasings_is_judged_right(language, least):
    patients = [sample_patient(index, seed=SEED) for index in range(600) if split_of(index, seed=SEED) == "test"]
    gold = [item for item in from_pairs(sentence_pairs(patients, seed=1)) if item.language == language]

    found = qualify(RulesJudge(), gold, dataset="phantom", privacy="public", replicates=50)

    assert len(gold) > 300
    assert found.metrics["accuracy"]["value"] >= least
    assert found.metrics["kappa"]["value"] >= 0.8
