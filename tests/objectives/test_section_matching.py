"""Section matching equals its equation, and repeated sections are not each other's negatives."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from medvl.objectives.contrastive import info_nce
from medvl.objectives.section_matching import matching_sections, section_matching_loss


def unit(rows, seed=0):
    return normalize(torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_it_is_the_sum_of_both_directions():
    findings, impressions, t = unit(3), unit(3, seed=1), 0.5
    e = (findings @ impressions.T / t).exp()

    by_hand = -sum((e[i, i] / e[i].sum()).log() + (e[i, i] / e[:, i].sum()).log() for i in range(3)) / 3

    assert section_matching_loss(findings, impressions, temperature=t).item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_it_is_twice_info_nce_and_chance_is_twice_the_logarithm():
    findings, impressions = unit(5), unit(5, seed=1)
    same = torch.ones(4, 2) / math.sqrt(2)

    twice = 2 * info_nce(findings @ impressions.T, temperature=0.5)

    assert section_matching_loss(findings, impressions).item() == pytest.approx(twice.item())
    assert section_matching_loss(same, same).item() == pytest.approx(2 * math.log(4), rel=1e-5)


def test_sections_match_where_either_text_repeats():
    matches = matching_sections(["a", "a", "b", "c"], ["x", "y", "y", "z"])

    assert matches.tolist() == [
        [True, True, False, False],
        [True, True, True, False],
        [False, True, True, False],
        [False, False, False, True],
    ]


def test_distinct_sections_change_nothing():
    findings, impressions = unit(4), unit(4, seed=1)

    shared = section_matching_loss(findings, impressions, matches=matching_sections(list("abcd"), list("wxyz")))

    assert shared.item() == pytest.approx(section_matching_loss(findings, impressions).item())


def test_reports_with_the_same_impression_are_info_nce_with_the_same_texts():
    findings, impressions = unit(4), unit(4, seed=1)
    texts = ["normal", "effusion", "normal", "edema"]

    shared = section_matching_loss(findings, impressions, matches=matching_sections(list("abcd"), texts))

    assert shared.item() == pytest.approx(2 * info_nce(findings @ impressions.T, temperature=0.5, texts=texts).item(), rel=1e-5)


def test_different_numbers_of_sections_are_refused():
    with pytest.raises(ValueError, match="as many findings as impressions"):
        section_matching_loss(unit(2), unit(3))
