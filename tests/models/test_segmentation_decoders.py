import pytest
import torch

from medvl.models.segmentation_decoders import LinearDecoder, PlacePrior, PyramidDecoder


@pytest.mark.parametrize("grid", [(8, 8), (7, 5)])
def test_decoders_return_one_map_per_structure_at_the_size_asked_for(grid):
    maps = [torch.randn(2, 12, *grid) for _ in range(4)]

    for decoder in (LinearDecoder(12, 3), PyramidDecoder(12, 3, channels=8)):
        assert decoder(maps[-decoder.blocks :], 56).shape == (2, 3, 56, 56)


def test_the_linear_decoder_sees_each_patch_alone():
    decoder = LinearDecoder(4, 1).eval()
    maps = torch.zeros(1, 4, 2, 2)
    changed = maps.clone()
    changed[0, :, 0, 0] = 1

    difference = (decoder([changed], 2) - decoder([maps], 2))[0, 0]

    assert difference[0, 0] != 0
    assert torch.equal(difference.flatten()[1:], torch.zeros(3))


def test_every_level_of_the_pyramid_decoder_is_used():
    decoder = PyramidDecoder(4, 1, channels=4)
    maps = [torch.randn(2, 4, 4, 4, requires_grad=True) for _ in range(4)]

    decoder(maps, 16).square().mean().backward()

    assert all(level.grad is not None and level.grad.abs().sum() > 0 for level in maps)


@pytest.mark.parametrize("make", [LinearDecoder, PyramidDecoder])
def test_with_a_place_prior_a_decoder_begins_as_the_share_of_the_masks_whatever_it_is_shown(make):
    share = torch.rand(3, 8, 8) * 0.9 + 0.05
    decoder = PlacePrior(make(12, 3), share)
    maps = [torch.randn(2, 12, 8, 8) for _ in range(decoder.blocks)]

    torch.testing.assert_close(decoder(maps, 8).sigmoid(), share.expand(2, 3, 8, 8))


def test_a_place_prior_is_finite_where_a_structure_never_or_always_lies_and_is_learned_with_the_decoder():
    decoder = PlacePrior(LinearDecoder(4, 1), torch.tensor([[[0.0, 1.0], [0.5, 0.5]]]))

    logits = decoder([torch.randn(2, 4, 2, 2)], 2)
    logits.sum().backward()

    assert logits.isfinite().all()
    assert decoder.place.grad is not None
    assert decoder.place.grad.count_nonzero() == 4
    assert decoder.decoder.classify.weight.grad is not None
