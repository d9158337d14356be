import math

import pytest
import torch

from medvl.objectives.film_order import film_order_loss


def test_equal_similarities_are_chance() -> None:
    similarity = torch.tensor([0.3, -0.2])
    assert film_order_loss(similarity, similarity, torch.ones(2), temperature=0.1).item() == pytest.approx(math.log(2))


def test_it_is_info_nce_against_the_exchanged_films() -> None:
    similarity, exchanged, temperature = torch.tensor([0.5, 0.1]), torch.tensor([0.2, 0.3]), 0.25
    logits = torch.stack([similarity, exchanged], dim=1) / temperature
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 0]))
    assert film_order_loss(similarity, exchanged, torch.ones(2), temperature=temperature).item() == pytest.approx(expected.item())


def test_studies_without_a_film_before_do_not_count() -> None:
    similarity, exchanged = torch.tensor([0.5, 0.9]), torch.tensor([0.2, float("nan")])
    alone = film_order_loss(similarity[:1], exchanged[:1], torch.ones(1), temperature=0.5)
    assert film_order_loss(similarity, exchanged, torch.tensor([1.0, 0.0]), temperature=0.5).item() == pytest.approx(alone.item())


def test_a_batch_without_films_before_costs_nothing_and_has_a_gradient() -> None:
    similarity = torch.tensor([0.5], requires_grad=True)
    loss = film_order_loss(similarity, torch.zeros(1), torch.zeros(1), temperature=0.5)
    loss.backward()
    assert loss.item() == 0
    assert similarity.grad is not None
    assert similarity.grad.item() == 0
