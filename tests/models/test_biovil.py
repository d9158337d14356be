"""The shapes and identities of the image models, as the official package's own tests ask for them."""

import pytest
import torch

from medvl.models.biovil import BioVilImageModel
from medvl.models.biovil_t import BioVilTImageModel
from medvl.models.resnet import SmallResNet
from medvl.models.resnet50 import ResNet50


@pytest.fixture(autouse=True)
def one_thread_without_gradients():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield


def small_trunk():
    return SmallResNet((8, 16, 16, 32))


def test_the_trunk_gives_five_maps_the_last_of_stride_32():
    trunk, shapes = ResNet50().eval(), []
    for stage in (trunk.maxpool, trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4):
        stage.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[1:])))

    last = trunk(torch.rand(1, 3, 96, 96))

    assert shapes == [(64, 24, 24), (256, 24, 24), (512, 12, 12), (1024, 6, 6), (2048, 3, 3)]
    assert last.shape[1:] == shapes[-1]


@pytest.mark.parametrize(
    ("trunk", "shape", "message"),
    [
        (small_trunk, (1, 4, 32, 32), r"\(B, 1, H, W\).*got \(1, 4, 32, 32\)"),
        (small_trunk, (1, 1, 33, 32), "even H and W"),
        (ResNet50, (1, 4, 32, 32), r"\(B, 1 or 3, H, W\), got \(1, 4, 32, 32\)"),
        (ResNet50, (3, 32, 32), r"got \(3, 32, 32\)"),
    ],
)
def test_a_trunk_names_the_shape_that_it_needs(trunk, shape, message):
    with pytest.raises(ValueError, match=message):
        BioVilImageModel(trunk())(torch.rand(shape))


@pytest.mark.parametrize("build", [BioVilImageModel, BioVilTImageModel])
def test_global_embeddings_are_the_mean_patches(build):
    output = build(small_trunk(), projection_size=4).eval()(torch.rand(2, 1, 64, 96))

    assert output.projected_patch_embeddings.shape == (2, 4, 4, 6)
    assert torch.allclose(output.projected_global_embedding, output.projected_patch_embeddings.mean(dim=(2, 3)))
    assert torch.allclose(output.img_embedding, output.patch_embeddings.mean(dim=(2, 3)))


@pytest.mark.parametrize("with_previous", [True, False])
def test_the_multi_image_model_has_512_channels_with_and_without_a_film_before(with_previous):
    model = BioVilTImageModel(small_trunk(), projection_size=4).eval()
    current = torch.rand(2, 1, 224, 224)

    output = model(current, torch.rand(2, 1, 224, 224) if with_previous else None)

    assert output.patch_embeddings.shape == (2, 512, 14, 14)
    assert output.img_embedding.shape == (2, 512)
    assert output.projected_patch_embeddings.shape == (2, 4, 14, 14)


def test_without_a_film_before_the_change_is_the_learned_vector_everywhere():
    model = BioVilTImageModel(small_trunk(), projection_size=4).eval()

    change = model(torch.rand(1, 1, 64, 64)).patch_embeddings[:, 256:]

    assert torch.equal(change, model.encoder.missing_previous_emb.expand(1, 256, 4, 4))
