"""Configurations are complete, ours, and identified by what they compute."""

import pytest
from omegaconf import OmegaConf

from medvl.runtime.config import ConfigError, check_targets, identity, instantiate, on_meta, require_complete


def test_all_missing_values_are_listed_at_once():
    with pytest.raises(ConfigError, match=r"missing values: data\.root, seed"):
        require_complete(OmegaConf.create({"data": {"root": "???"}, "seed": "???", "name": "x"}))


def test_a_target_outside_the_allow_list_is_refused_before_it_is_imported():
    node = OmegaConf.create({"inner": [{"_target_": "builtins.open", "file": "x"}]})

    with pytest.raises(ConfigError, match=r"inner\[0\]\._target_ = 'builtins\.open'"):
        check_targets(node)


def test_what_is_named_is_built():
    box = instantiate(OmegaConf.create({"_target_": "medvl.records.Box", "x_min": 0, "y_min": 0, "x_max": 1, "y_max": 1}))

    assert box.xyxy == (0, 0, 1, 1)


def test_an_unknown_argument_of_a_target_is_an_error():
    with pytest.raises(ConfigError, match="x_mid"):
        instantiate(OmegaConf.create({"_target_": "medvl.records.Box", "x_mid": 0}))


def test_how_to_run_is_not_part_of_the_identity():
    config = {"seed": 0, "outputs": "outputs", "dry_run": False, "json": False, "restart": False, "show_traceback": False}

    base = identity(OmegaConf.create(config))

    assert identity(OmegaConf.create({**config, "restart": True, "outputs": "elsewhere"})) == base
    assert identity(OmegaConf.create({**config, "seed": 1})) != base


def test_modules_on_meta_take_no_memory():
    with on_meta():
        model = instantiate(OmegaConf.create({"_target_": "medvl.models.resnet.SmallResNet"}))

    assert all(p.is_meta for p in model.parameters())
