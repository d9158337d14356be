"""Every configuration composes, names what exists, and builds its model without memory."""

import inspect

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

from medvl.cli.train import plan
from medvl.runtime.config import check_targets, compose, config_folder, instantiate, on_meta, require_complete

EXPERIMENTS = {  # name → parameters at full size
    "biovil": 23_786_944 + 109_629_498 + 1,  # the published two, and the temperature
    "biovil_t": 25_300_928 + 109_629_498 + 1,
    "cxr_bert": 109_629_498,
    "cxr_bert_general": 109_629_498,
    "quickstart": 2_136_513,
    "rad_dino": 86_580_480,
    "scaling_laws": 86_580_480,
}
SCALES = sorted(p.stem for p in (config_folder() / "scale").glob("*.yaml"))
DATA = sorted(p.stem for p in (config_folder() / "data").glob("*.yaml"))
TRAINERS = sorted(p.stem for p in (config_folder() / "trainer").glob("*.yaml"))
BENCHMARKS = sorted(p.stem for p in (config_folder() / "benchmark").glob("*.yaml"))


def targets(node):
    if OmegaConf.is_dict(node):
        if "_target_" in node:
            yield node
        for key in node:
            if not OmegaConf.is_missing(node, key):
                yield from targets(node[key])


def test_every_experiment_has_its_parameter_count_here():
    assert {p.stem for p in (config_folder() / "experiment").glob("*.yaml")} == set(EXPERIMENTS)


@pytest.mark.parametrize(("experiment", "parameters"), EXPERIMENTS.items())
def test_every_experiment_composes_and_has_the_stated_size(experiment, parameters, capsys):
    config = compose("train", [f"experiment={experiment}"])
    require_complete(config)
    check_targets(config)

    with on_meta():
        model = instantiate(config.model)

    assert sum(p.numel() for p in model.parameters()) == parameters
    assert plan(config)["parameters"] == parameters


def test_the_plan_counts_weights_gradients_and_moments_of_what_is_trained_and_the_weights_of_what_is_not():
    configs = {name: compose("train", [f"experiment={name}"]) for name in ("rad_dino", "biovil_t", "cxr_bert")}
    with on_meta():
        predictor = sum(p.numel() for p in instantiate(configs["biovil_t"].training.predictor).parameters())
    head = 768 * 2048 + 2048 * 2048 + 2048 * 256 + 65536 * (256 + 1)  # weights; the few biases are within the tolerance

    plans = {name: plan(config) for name, config in configs.items()}

    networks = EXPERIMENTS["rad_dino"] + head  # the student learns, the teacher does not
    assert plans["rad_dino"]["state_bytes"] == pytest.approx((16 + 4) * networks, rel=1e-3)
    assert plans["biovil_t"]["state_bytes"] == pytest.approx(16 * (EXPERIMENTS["biovil_t"] + predictor), rel=1e-3)
    assert plans["cxr_bert"]["state_bytes"] == pytest.approx(16 * EXPERIMENTS["cxr_bert"], rel=1e-3)
    assert not any("memory_bytes" in told for told in plans.values())  # activations are not known before a step


@pytest.mark.parametrize("experiment", sorted(set(EXPERIMENTS) - {"quickstart"}))  # which is small by itself
def test_every_experiment_says_how_it_is_shrunk_to_the_phantom(experiment):
    assert (config_folder() / "scale" / "of" / "phantom" / f"{experiment}.yaml").exists()


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_builds_what_it_trains_at_every_scale_without_memory(experiment):
    for scale in SCALES:
        config = compose("train", [f"experiment={experiment}", f"scale={scale}"])
        require_complete(config)

        with on_meta():
            module = instantiate(config.training, model=instantiate(config.model))

        assert all(parameter.is_meta for parameter in module.parameters())


@pytest.mark.parametrize("words", [*([f"trainer={name}"] for name in TRAINERS), []], ids=" ".join)
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_batch_normalisation_is_synchronised_wherever_several_processes_train(experiment, words):
    config = compose("train", [f"experiment={experiment}", *words])

    for trainer in (node for node in targets(config) if node._target_ == "lightning.pytorch.Trainer"):
        assert trainer.get("sync_batchnorm", False) == (trainer.devices != 1)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_benchmark_composes_with_every_dataset(data, benchmark):
    config = compose("evaluate", [f"data={data}", f"benchmark={benchmark}", "trained=x"])

    require_complete(config)

    instantiate(config.benchmark)


@pytest.mark.parametrize(
    "words",
    [
        *(["prepare", f"data={data}"] for data in DATA),
        *(["evaluate", "data=phantom", f"benchmark={benchmark}", "trained=x"] for benchmark in BENCHMARKS),
        *(["train", f"experiment={experiment}", f"scale={scale}"] for experiment in EXPERIMENTS for scale in SCALES),
    ],
    ids=" ".join,
)
def test_every_target_takes_the_keys_it_is_given_and_no_others(words):
    for node in targets(compose(words[0], words[1:])):
        signature = inspect.signature(get_object(node._target_))
        signature.bind_partial(**{k: None for k in node if not k.startswith("_")})
        assert not any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()), node._target_
