"""BioViL, BioViL-T and CXR-BERT give what the official code gives on the same weights: hi-ml-multimodal 0.2.2, measured once, stored here.

The weights are invented by name; files have the official layout. ``test_biovil_official.py`` compares with the live package.
"""

import pytest
import torch
from deterministic_weights import deterministic_state, pixels, uniform
from official_layouts import PUBLISHED_BERT, TINY_BERT, biovil_shapes, biovil_t_shapes, text_state, write_text_folder
from torch.nn.functional import normalize

from medvl.benchmarks.similarity_maps import map_in_original, patch_similarity
from medvl.geometry import Frame
from medvl.models.checkpoints import load_biovil, load_biovil_t, load_cxr_bert

FIELDS = ("img_embedding", "patch_embeddings", "projected_global_embedding", "projected_patch_embeddings")
OFFICIAL_IMAGES = {  # first three and last three numbers, mean, norm
    "BioViL 224": (
        (1.545845, 0.0, 2.954473, 0.9029896, 0.5065036, 4.468658, 1.340688, 91.86869),
        (0.07839409, 0.3294387, 0.08494127, 3.335024, 3.269378, 2.79971, 1.340688, 675.03),
        (0.09109396, -0.6069742, 0.4086263, 1.095789, 2.069287, -0.06347729, -0.04257292, 15.86558),
        (-0.1338071, 0.2916706, 0.5861683, -0.3865264, -0.2790045, 0.06505522, -0.04257292, 115.9278),
    ),
    "BioViL-T 224": (
        (-0.5900347, -1.513852, 0.0151852, 0.2286571, 0.07483786, 0.2970187, -0.007337402, 32.38795),
        (-0.1227476, -0.8604485, -1.236954, 0.2970186, 0.2970186, 0.2970186, -0.007337404, 238.0817),
        (1.269027, -0.8055054, 0.2581242, -1.937949, 1.952346, 0.9588135, -0.02857958, 12.82073),
        (0.02756214, 0.3476817, 0.351806, 0.9378299, 1.042232, 0.8814511, -0.02857959, 93.91165),
    ),
    "BioViL-T 448": (
        (-0.5300461, -1.536788, 0.07623322, 0.2286571, 0.07483786, 0.2970187, -0.003618871, 33.69297),
        (-0.03689137, -0.6939833, -0.9489375, 0.2970186, 0.2970186, 0.2970186, -0.003618864, 486.4911),
        (1.352609, -0.7652149, 0.2753855, -2.050904, 2.104174, 1.093624, -0.0287213, 13.17826),
        (0.004451498, 0.3189059, 0.2997288, 1.167238, 1.155921, 0.9063513, -0.02872129, 190.0212),
    ),
    "BioViL-T 448, pair": (
        (-0.5300461, -1.536788, 0.07623322, 0.08303264, -0.1555686, -0.7538666, -0.01423855, 37.06108),
        (-0.03689137, -0.6939833, -0.9489375, -0.6699827, -0.7341495, -0.7056282, -0.01423854, 533.9241),
        (0.6194274, -0.4790264, 1.177898, -2.160008, 1.665246, 1.571632, -0.1126847, 15.67822),
        (-0.003235653, 0.1386192, 0.261171, 1.562554, 1.511069, 1.442362, -0.1126847, 224.6675),
    ),
}
TOKENS = torch.tensor([[2, 10, 11, 20, 7, 3], [2, 12, 13, 3, 0, 0]])
OFFICIAL_TEXTS = {  # the two projections, then the first text's token logits
    "tiny": (
        (-0.4558392, 1.892432, 1.666943, 1.318309, 0.2710426, -0.5897099, 0.6281104, 4.793312),
        (0.5448342, 1.078844, 1.64564, 0.9743201, 0.1581991, 0.8802606, 0.6668468, 4.196072),
        (-1.121104, -3.368281, 2.521442, 2.173513, 0.5509065, 0.5233235, 0.1108172, 22.48907),
    ),
    "published": (
        (1.068305, 0.02016272, 1.829445, -1.563902, -1.419291, -0.7457914, 0.1194814, 11.68584),
        (1.215352, 0.5337421, 1.852333, -1.497463, -0.2158258, -0.7959269, 0.1479696, 11.81371),
        (-5.078836, -4.928381, -1.633432, 2.489714, 0.6973209, 11.09804, -0.002248559, 2224.963),
    ),
}
OFFICIAL_MAPS = {  # (height, width), interpolation: NaN pixels, first and last row and column with values, eight numbers, three inside
    ((500, 600), "nearest"): (
        (109031, 31, 467, 81, 517),
        (-0.395433, -0.395433, -0.395433, 0.7841619, 0.7841619, 0.7841619, 0.1327982, 204.9904),
        (0.09522223, -0.1875967, -0.173177),
    ),
    ((500, 600), "bilinear"): (
        (109031, 31, 467, 81, 517),
        (-0.395433, -0.395433, -0.395433, 0.7841619, 0.7841619, 0.7841619, 0.134214, 204.1564),
        (0.02553023, -0.2308858, -0.209479),
    ),
    ((513, 401), "nearest"): (
        (83213, 81, 430, 25, 374),
        (-0.395433, -0.395433, -0.395433, 0.7841619, 0.7841619, 0.7841619, 0.1342139, 164.2514),
        (0.09522223, -0.3809517, -0.3608525),
    ),
    ((513, 401), "bilinear"): (
        (83213, 81, 430, 25, 374),
        (-0.395433, -0.395433, -0.395433, 0.7841619, 0.7841619, 0.7841619, 0.1342139, 163.5131),
        (0.02372877, -0.3564287, -0.3340904),
    ),
}


@pytest.fixture(autouse=True)
def one_thread_without_gradients():
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def biovil(tmp_path_factory):
    path = tmp_path_factory.mktemp("biovil") / "biovil_image_resnet50_proj_size_128.pt"
    torch.save(deterministic_state(biovil_shapes()), path)
    return load_biovil(path)


@pytest.fixture(scope="module")
def biovil_t(tmp_path_factory):
    path = tmp_path_factory.mktemp("biovil_t") / "biovil_t_image_model_proj_size_128.pt"
    torch.save(deterministic_state(biovil_t_shapes()), path)
    return load_biovil_t(path)


def eight_numbers(tensor):
    flat = tensor.double().flatten()
    return [*flat[:3].tolist(), *flat[-3:].tolist(), flat.mean().item(), flat.norm().item()]


def close(numbers):
    return pytest.approx(numbers, rel=1e-5, abs=1e-5)


def assert_official(output, name, row=0):
    for field, expected in zip(FIELDS, OFFICIAL_IMAGES[name], strict=True):
        assert eight_numbers(getattr(output, field)[row : row + 1]) == close(expected), field


def test_biovil_encodes_a_film_as_the_official_model_does(biovil):
    film = pixels("current", 224, 224)

    assert_official(biovil(film), "BioViL 224")
    assert_official(biovil(film.expand(-1, 3, -1, -1)), "BioViL 224")


def test_biovil_has_no_use_for_a_film_before(biovil):
    current, previous = pixels("current", 224, 224), pixels("previous", 224, 224)

    assert_official(biovil(current, previous, torch.tensor([True])), "BioViL 224")


def test_biovil_t_encodes_a_film_without_a_film_before_as_the_official_model_does(biovil_t):
    assert_official(biovil_t(pixels("current", 224, 224)), "BioViL-T 224")


def test_a_mixed_batch_gives_what_two_official_calls_give(biovil_t):
    current, previous = pixels("current", 448, 448), pixels("previous", 448, 448)

    mixed = biovil_t(torch.cat([current, current]), torch.cat([previous, previous]), torch.tensor([True, False]))

    assert_official(mixed, "BioViL-T 448, pair", row=0)
    assert_official(mixed, "BioViL-T 448", row=1)


def test_cached_features_of_the_film_before_give_the_official_pair(biovil_t):
    features = biovil_t.encode_static(pixels("previous", 448, 448))

    assert_official(biovil_t(pixels("current", 448, 448), previous_features=features), "BioViL-T 448, pair")


def test_films_of_any_size_and_shape_are_taken_and_their_order_matters(biovil_t):
    current, previous = pixels("current", 96, 160), pixels("previous", 96, 160)

    output, swapped = biovil_t(current, previous), biovil_t(previous, current)

    assert output.patch_embeddings.shape == (1, 512, 3, 5)
    assert output.projected_patch_embeddings.shape == (1, 128, 3, 5)
    change, change_swapped = output.patch_embeddings[:, 256:], swapped.patch_embeddings[:, 256:]
    assert change.isfinite().all()
    assert (change - change_swapped).abs().max() > 0.1


def test_films_before_of_another_grid_are_refused(biovil_t):
    film = pixels("current", 96, 96)

    with pytest.raises(ValueError, match=r"3, 5.*3, 3"):
        biovil_t(film, previous_features=biovil_t.encode_static(pixels("previous", 96, 160)))
    with pytest.raises(ValueError, match="shapes must be equal"):
        biovil_t(film, pixels("previous", 96, 160))


@pytest.mark.parametrize(
    ("name", "config"), [("tiny", TINY_BERT), pytest.param("published", PUBLISHED_BERT, marks=pytest.mark.slow)], ids=["tiny", "published"]
)
def test_token_ids_are_projected_as_the_official_text_model_does(tmp_path, name, config):
    model = load_cxr_bert(write_text_folder(tmp_path, config, text_state(config)))
    mask = (TOKENS > 0).long()

    hidden = model(TOKENS, mask)
    projected = model.project(model.pool(hidden, mask))

    first, second, logits = OFFICIAL_TEXTS[name]
    assert eight_numbers(projected[0]) == close(first)
    assert eight_numbers(projected[1]) == close(second)
    assert eight_numbers(model.predict_tokens(hidden)[0]) == close(logits)
    if name == "published":
        assert sum(parameter.numel() for parameter in model.parameters()) == 109_629_498


@pytest.mark.parametrize(("size", "interpolation"), OFFICIAL_MAPS)
def test_similarity_maps_are_smoothed_and_resized_as_by_the_official_engine(size, interpolation):
    patches, text = normalize(uniform("patches", (14, 14, 128)), dim=-1), normalize(uniform("text", (1, 128)), dim=-1)
    slope = torch.linspace(-1, 1, 14)
    patches = normalize(patches + slope[:, None, None] * text + 0.5 * slope[None, :, None] ** 2 * text, dim=-1)
    counted, numbers, inside = OFFICIAL_MAPS[size, interpolation]

    frame = Frame.identity(size).short_side(512).center_cropped((448, 448))
    smoothed = patch_similarity(patches.permute(2, 0, 1), text)[0]
    found = torch.from_numpy(map_in_original(smoothed, frame, interpolation=interpolation, geometry="official"))

    finite = found.isfinite()
    rows, columns = finite.any(dim=1).nonzero(), finite.any(dim=0).nonzero()
    assert (int((~finite).sum()), *(int(edge) for edge in (rows[0], rows[-1], columns[0], columns[-1]))) == counted
    assert eight_numbers(found[finite]) == close(numbers)
    (height, width), x_of_thirds = size, (size[1] // 3, size[1] * 2 // 3)
    assert [found[height // 2, width // 2].item(), *(found[height // 3, x].item() for x in x_of_thirds)] == close(inside)
