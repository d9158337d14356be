import pytest
import torch

from medvl.models.segmentation_decoders import LinearDecoder, PyramidDecoder


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
