"""InfoNCE equals its equation."""

import math

import pytest
import torch

from medvl.objectives.contrastive import info_nce
from medvl.objectives.phrase_to_patch import own_report_to_patch_similarity, phrase_to_patch_similarity, report_to_patch_similarity


def test_indifferent_similarities_give_the_logarithm_of_the_batch():
    assert info_nce(torch.zeros(4, 4), temperature=0.1).item() == pytest.approx(math.log(4))


def test_a_two_by_two_case_worked_by_hand():
    similarity = torch.tensor([[1.0, 0.0], [0.5, 1.0]])

    # rows: ln(1 + e^(0−1)), ln(1 + e^(0.5−1)); columns: ln(1 + e^(0.5−1)), ln(1 + e^(0−1))
    rows = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-0.5))) / 2

    assert info_nce(similarity, temperature=1.0).item() == pytest.approx(rows, abs=1e-6)


def test_equal_texts_are_not_each_others_negatives():
    similarity = torch.tensor([[1.0, 1.0, -1.0], [1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]])

    shared = info_nce(similarity, temperature=0.1, texts=["normal", "normal", "effusion"])

    assert shared.item() == pytest.approx(2 / 3 * math.log(2), abs=1e-4)


def test_different_texts_change_nothing():
    similarity = torch.randn(5, 5)

    assert info_nce(similarity, temperature=0.2, texts=list("abcde")).item() == pytest.approx(info_nce(similarity, temperature=0.2).item())


def test_a_matrix_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match="square"):
        info_nce(torch.zeros(2, 3), temperature=1.0)


def test_attention_finds_the_one_patch_that_matches():
    phrase = torch.tensor([[1.0, 0.0]])
    patches = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]).T.reshape(1, 2, 1, 3)

    sharp = phrase_to_patch_similarity(patches, phrase, sharpness=50.0)
    even = phrase_to_patch_similarity(patches, phrase, sharpness=0.0)

    assert sharp.item() == pytest.approx(1.0, abs=1e-4)
    assert even.item() == pytest.approx((1 / 3) / math.hypot(1 / 3, 2 / 3), abs=1e-5)


def test_a_report_is_the_mean_of_the_phrases_it_has():
    torch.manual_seed(0)
    patches = torch.nn.functional.normalize(torch.randn(2, 4, 3, 3), dim=1)
    phrases = torch.nn.functional.normalize(torch.randn(2, 3, 4), dim=-1)
    present = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])

    similarity = report_to_patch_similarity(patches, phrases, present)

    single = phrase_to_patch_similarity(patches, phrases.flatten(0, 1)).unflatten(1, (2, 3))
    assert torch.allclose(similarity[:, 0], single[:, 0, :2].mean(dim=1))
    assert torch.allclose(similarity[:, 1], single[:, 1, 0])


def test_an_image_meets_its_own_report_as_in_the_whole_matrix():
    torch.manual_seed(0)
    patches = torch.nn.functional.normalize(torch.randn(3, 4, 3, 3), dim=1)
    phrases = torch.nn.functional.normalize(torch.randn(3, 2, 4), dim=-1)
    present = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]])

    own = own_report_to_patch_similarity(patches, phrases, present, sharpness=5.0)

    assert torch.allclose(own, report_to_patch_similarity(patches, phrases, present, sharpness=5.0).diagonal(), atol=1e-6)
