"""Every metric's configuration names what exists, takes only keys that it has, and scores."""

import inspect

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

from medvl.metrics.scores import Scores
from medvl.runtime.config import check_targets, config_folder, instantiate

OURS = (
    *("bertscore", "bleu", "chexpert_f1_chexbert", "chexpert_f1_rules", "chexprompt", "cider", "green", "length_and_repetition"),
    *("lines_and_tubes", "meteor", "prior_reference", "radcliq", "radgraph_f1", "rouge_l", "temporal_entities"),
)


def load(name):
    return OmegaConf.load(config_folder() / "metric" / f"{name}.yaml")


def targets(node):
    if OmegaConf.is_dict(node):
        if "_target_" in node:
            yield node
        for key in node:
            if not OmegaConf.is_missing(node, key):
                yield from targets(node[key])


@pytest.mark.parametrize("name", OURS)
def test_every_target_takes_the_keys_it_is_given(name):
    for node in targets(load(name)):
        signature = inspect.signature(get_object(node._target_))
        signature.bind_partial(**{k: None for k in node if not k.startswith("_")})
        assert not any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()), node._target_


@pytest.mark.parametrize("name", [name for name in OURS if load(name).get("_partial_") and not OmegaConf.missing_keys(load(name))])
def test_a_metric_of_texts_without_missing_values_scores_two_reports(name):
    config = load(name)
    check_targets(config)

    result = instantiate(config)(["No effusion.", "Stable left PICC."], ["No pleural effusion.", "Left PICC is unchanged."])

    assert isinstance(result, Scores)
    assert len(result) == 2
    assert result.corpus


def test_the_rule_labeller_is_named_as_such():
    result = instantiate(load("chexpert_f1_rules"))(["Edema."], ["Edema."])

    assert result.name == "chexpert_f1_rules"
    assert result.protocol["labeller"] == "rules(language=en)"
