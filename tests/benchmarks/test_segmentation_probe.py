"""Segmentation from frozen tokens, on films whose one bright square is the lung."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from medvl.benchmarks.features import Encoding
from medvl.benchmarks.findings_task import NothingToProbe, Splits
from medvl.benchmarks.segmentation import SegmentationProbe, _mean_mask_dice
from medvl.geometry import Frame
from medvl.records import Study, View

SIZE, CELL = 32, 4


class Squares(dict):
    """Films of noise with a bright square at a drawn place; half-size copies of their originals."""

    image = dict.__getitem__

    def __init__(self, count):
        draw = np.random.default_rng(0)
        self.masks = {}
        for i in range(count):
            film, mask = draw.integers(0, 60, (SIZE, SIZE)).astype(np.uint8), np.zeros((2 * SIZE, 2 * SIZE), bool)
            top, left = draw.integers(0, 5, 2) * CELL
            film[top : top + 12, left : left + 12] = 220
            mask[2 * top : 2 * top + 24, 2 * left : 2 * left + 24] = True
            self[f"v{i}"], self.masks[f"v{i}"] = film, mask

    def frame(self, view_id):
        return Frame.identity((2 * SIZE, 2 * SIZE)).resized((SIZE, SIZE))

    def read(self, studies):
        for study in studies:
            yield study.views[0].view_id, {"lung": self.masks[study.views[0].view_id]}


class TokenEncoder:
    """Patches that hold their light, or nothing."""

    def __init__(self, *, blind=False):
        self.blind, self.encoded = blind, 0

    def standardize(self, images):
        return images

    def encode(self, pixels, layers=(-1,), norm=True):
        self.encoded += len(pixels)
        light = avg_pool2d(pixels, CELL).flatten(2).transpose(1, 2)
        tokens = torch.cat([torch.zeros_like(light) if self.blind else light, torch.ones_like(light)], dim=2)
        return SimpleNamespace(cls_by_layer=[tokens.mean(dim=1)], patches=[tokens for _ in layers], grid=(SIZE // CELL, SIZE // CELL))


@pytest.fixture(scope="module")
def films():
    return Squares(48)


def studies_of(films):
    return [Study("invented", f"p{i}", f"s{i}", views=(View(name, projection="PA"),)) for i, name in enumerate(films)]


def probe_of(films, **options):
    return SegmentationProbe(films.read, {"lungs": ["lung"]}, Encoding(crop=SIZE, batch_size=8), replicates=50, **options)


@pytest.mark.parametrize("decoder", ["linear", "upernet"])
def test_a_decoder_finds_the_square_and_beats_the_blind_encoder_and_the_mean_mask(films, decoder):
    studies = studies_of(films)
    probe = probe_of(films, decoder=decoder, channels=12, steps=150, learning_rate=0.03)

    found = probe.evaluate(TokenEncoder(), films, Splits(studies[:32], [], studies[32:]), untrained=TokenEncoder(blind=True))

    entry = found.metrics[f"segmentation_{decoder}_dice"]
    assert entry["value"] > 0.85
    assert entry["difference"]["ci_low"] > 0
    beside = found.per_finding[f"segmentation_{decoder}_dice_beside_mean_mask"]["lungs"]
    assert beside["difference"]["ci_low"] > 0
    assert beside["mean_mask"]["value"] < 0.7


def test_a_place_prior_tells_a_blind_encoder_where_squares_lie_and_one_that_sees_which_it_is(films):
    studies = studies_of(films)
    splits = Splits(studies[:32], [], studies[32:])
    options = {"steps": 60, "learning_rate": 0.03}

    plain = probe_of(films, **options).evaluate(TokenEncoder(blind=True), films, splits)
    prior = probe_of(films, place_prior=True, **options).evaluate(TokenEncoder(), films, splits, untrained=TokenEncoder(blind=True))

    entry = prior.metrics["segmentation_linear_dice"]
    assert entry["untrained"]["value"] > plain.metrics["segmentation_linear_dice"]["value"] + 0.05
    assert entry["difference"]["ci_low"] > 0.1


@pytest.mark.parametrize("decoder", ["linear", "upernet"])
def test_kept_tokens_change_no_figure_and_are_encoded_once(films, decoder):
    studies, steps = studies_of(films), 10
    splits = Splits(studies[:32], [], studies[32:])
    drawn, kept = TokenEncoder(), TokenEncoder()

    again = probe_of(films, decoder=decoder, channels=8, steps=steps).evaluate(drawn, films, splits)
    once = probe_of(films, decoder=decoder, channels=8, steps=steps, keep_tokens=True).evaluate(kept, films, splits)

    assert once.tables[f"segmentation_{decoder}_dice"].equals(again.tables[f"segmentation_{decoder}_dice"])
    assert drawn.encoded - kept.encoded == 8 * steps - 32


def test_the_mean_mask_is_cut_where_it_does_best_on_the_training_masks():
    train = np.zeros((4, 1, 2, 2), bool)
    train[:, 0, 0, 0] = True
    train[0, 0, 1] = True

    assert _mean_mask_dice(train, train[1:2])[0, 0] == 1.0


def test_studies_without_masks_are_named_when_none_is_left(films):
    studies = studies_of(films)
    probe = SegmentationProbe(lambda _: iter(()), {"lungs": ["lung"]}, Encoding(crop=SIZE))

    with pytest.raises(NothingToProbe, match=r"no training study has both masks \(lungs\)"):
        probe.evaluate(TokenEncoder(), films, Splits(studies, [], studies))
