"""Masked words are filled in with the film in view."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from medvl.models.cxr_bert import CxrBert
from medvl.models.image_guided_mlm import CrossAttention, ImageGuidedPredictor

D, W = 6, 16


@pytest.fixture
def predictor():
    torch.manual_seed(0)
    return ImageGuidedPredictor(D, W, heads=4, layers=2, dropout=0.1).eval()


@pytest.fixture
def text_and_film():
    draw = torch.Generator().manual_seed(1)
    return torch.randn(3, 5, W, generator=draw), torch.randn(3, D, 2, 4, generator=draw)


def test_attention_is_its_equation():
    torch.manual_seed(0)
    attention = CrossAttention(4, heads=2, dropout=0.0)
    x, patches = torch.randn(1, 3, 4), torch.randn(1, 5, 4)

    q, (k, v) = attention.query(x)[0], attention.key_value(patches)[0].split(4, dim=1)
    heads = [slice(0, 2), slice(2, 4)]
    mixed = torch.cat([torch.softmax(q[:, h] @ k[:, h].T / 2**0.5, dim=1) @ v[:, h] for h in heads], dim=1)

    assert torch.allclose(attention(x, patches)[0], attention.output(mixed), atol=1e-6)


def test_each_text_sees_its_own_film_and_nothing_of_the_others(predictor, text_and_film):
    hidden, patches = text_and_film
    other = patches.clone()
    other[1] += 1

    seen, changed = predictor(hidden, patches), predictor(hidden, other)

    assert seen.shape == hidden.shape
    assert torch.equal(seen[[0, 2]], changed[[0, 2]])
    assert (seen[1] - changed[1]).abs().amax(dim=1).min() > 1e-5  # every token of it


def test_tokens_do_not_see_each_other_here(predictor, text_and_film):
    hidden, patches = text_and_film
    padded = hidden.clone()
    padded[:, 3:] = 100.0

    assert torch.allclose(predictor(padded, patches)[:, :3], predictor(hidden, patches)[:, :3], atol=1e-6)


def test_the_order_of_patches_is_theirs_to_tell(predictor, text_and_film):
    hidden, patches = text_and_film

    assert torch.allclose(predictor(hidden, patches.flip(3)), predictor(hidden, patches), atol=1e-6)


def test_gradients_reach_text_film_and_every_weight(predictor, text_and_film):
    hidden, patches = (tensor.requires_grad_() for tensor in text_and_film)

    predictor(hidden, patches)[..., 0].sum().backward()

    assert hidden.grad.abs().sum() > 0
    assert patches.grad.abs().sum() > 0
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in predictor.parameters())


def test_dropout_acts_in_training_only(predictor, text_and_film):
    assert torch.equal(predictor(*text_and_film), predictor(*text_and_film))
    predictor.train()
    assert not torch.equal(predictor(*text_and_film), predictor(*text_and_film))


@pytest.mark.slow
def test_a_word_that_only_the_film_can_tell_is_learned():
    """One text for all, its last word masked; which of two words it is stands in the film."""
    torch.manual_seed(0)
    text = CxrBert(vocabulary_size=12, width=W, layers=1, heads=2, feed_forward=32, max_length=8, projection_size=D, dropout=0.0)
    predictor = ImageGuidedPredictor(D, W, heads=2, layers=1, dropout=0.0)
    films, words = torch.randn(2, D, 2, 2), torch.tensor([7, 8])
    ids, mask = torch.tensor([[2, 5, 6, 4]] * 2), torch.ones(2, 4, dtype=torch.long)
    optimizer = torch.optim.AdamW([*text.parameters(), *predictor.parameters()], lr=1e-2)

    for _ in range(60):
        blind = text.predict_tokens(text(ids, mask))[:, 3]
        guided = text.predict_tokens(predictor(text(ids, mask), films))[:, 3]
        loss = cross_entropy(guided, words)
        optimizer.zero_grad()
        (loss + cross_entropy(blind, words)).backward()
        optimizer.step()

    assert loss.item() < 0.05
    assert cross_entropy(blind, words).item() == pytest.approx(0.693, abs=0.05)  # without the film, one in two


@pytest.mark.parametrize(
    ("texts", "film"), [((3, 5, W), (2, D, 2, 2)), ((3, 5, W + 1), (3, D, 2, 2)), ((3, 5, W), (3, D + 1, 2, 2)), ((3, W), (3, D))]
)
def test_what_does_not_fit_is_refused(predictor, texts, film):
    with pytest.raises(ValueError, match=r"needs hidden states \(N, T, 16\) and as many films' patches \(N, 6, h, w\)"):
        predictor(torch.zeros(texts), torch.zeros(film))


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="16 is not a multiple of 3 heads"):
        ImageGuidedPredictor(D, W, heads=3)
