"""Local alignment equals its equations, one image, one caption and one word at a time."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from medvl.objectives.local_alignment import local_alignment_loss, local_alignment_similarity

LENGTHS = [7, 3, 1, 5]


@pytest.fixture
def batch():
    """Patches (4, 8, 3, 5), words (4, 7, 8) and which there are."""
    draw = torch.Generator().manual_seed(0)
    patches, words = torch.randn(4, 8, 3, 5, generator=draw), torch.randn(4, 7, 8, generator=draw)
    return patches, words, torch.arange(7) < torch.tensor(LENGTHS)[:, None]


def looped(patches, words, lengths, *, temp1=4.0, temp2=5.0, mean=False):
    """(B, R) by the equations, in plain loops over images and captions."""
    table = []
    for image in patches:
        c = image.flatten(1).T  # (P, D)
        row = []
        for caption, length in zip(words, lengths, strict=True):
            w = caption[:length]
            among_words = torch.softmax(c @ w.T, dim=1)  # (P, length)
            attention = torch.softmax(temp1 * among_words, dim=0)
            total = 0.0
            for position in range(length):
                attended = (attention[:, position, None] * c).sum(dim=0)
                total = total + torch.exp(temp2 * (w[position] @ attended) / (w[position].norm() * attended.norm()))
            row.append(torch.log(total / length if mean else total))
        table.append(torch.stack(row))
    return torch.stack(table)


def looped_loss(patches, words, lengths, *, temp3=10.0):
    logits, own = temp3 * looped(patches, words, lengths), torch.arange(len(lengths))
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


@pytest.mark.parametrize("aggregation", ["sum", "mean"])
@pytest.mark.parametrize("block", [1, 2 * 4 * 15 * 7, 10**9])  # one caption at a time, two, all
def test_similarities_are_those_of_the_loop(batch, aggregation, block):
    patches, words, present = batch

    similarity = local_alignment_similarity(patches, words, present, aggregation=aggregation, block=block)

    assert torch.allclose(similarity, looped(patches, words, LENGTHS, mean=aggregation == "mean"), atol=1e-5)


@pytest.mark.parametrize("block", [1, 10**9])
def test_loss_and_gradients_are_those_of_the_loop(batch, block):
    patches, words, present = batch
    ours, theirs = ([patches.clone().requires_grad_(), words.clone().requires_grad_()] for _ in range(2))

    loss, expected = local_alignment_loss(*ours, present, block=block), looped_loss(*theirs, LENGTHS)
    loss.backward()
    expected.backward()

    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert all(torch.allclose(a.grad, b.grad, atol=1e-5) for a, b in zip(ours, theirs, strict=True))


def test_other_temperatures(batch):
    patches, words, present = batch

    similarity = local_alignment_similarity(patches, words, present, temp1=1.5, temp2=2.0)

    assert torch.allclose(similarity, looped(patches, words, LENGTHS, temp1=1.5, temp2=2.0), atol=1e-5)


def test_captions_may_outnumber_images(batch):
    patches, words, present = batch

    similarity = local_alignment_similarity(patches[:2], words, present)

    assert torch.allclose(similarity, looped(patches[:2], words, LENGTHS), atol=1e-5)


def test_padding_is_without_effect_even_if_it_is_not_a_number(batch):
    patches, words, present = batch
    spoilt = words.masked_fill(~present[..., None], torch.nan).requires_grad_()
    patches = patches.clone().requires_grad_()

    loss = local_alignment_loss(patches, spoilt, present)
    loss.backward()

    assert torch.equal(loss, local_alignment_loss(patches, words, present))
    assert patches.grad.isfinite().all()
    assert spoilt.grad[~present].abs().sum() == 0


def test_words_may_be_left_out_anywhere(batch):
    patches, words, present = batch
    present[:, 0] &= torch.tensor([False, False, True, False])  # all but the caption of one word

    similarity = local_alignment_similarity(patches, words, present)

    rest = torch.stack([words[0].roll(-1, 0), words[1].roll(-1, 0), words[2], words[3].roll(-1, 0)])
    assert torch.allclose(similarity, looped(patches, rest, [6, 2, 1, 4]), atol=1e-5)


def test_unit_vectors_make_scale_without_effect(batch):
    patches, words, present = batch
    unit = local_alignment_similarity(patches, words, present, vectors="unit")

    assert torch.allclose(local_alignment_similarity(3 * patches, words / 7, present, vectors="unit"), unit, atol=1e-5)
    assert not torch.allclose(local_alignment_similarity(3 * patches, words / 7, present), unit, atol=1e-2)


def test_one_word_on_even_patches_worked_by_hand():
    patches = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).reshape(1, 2, 1, 2)  # orthogonal: the word is one of them
    word = torch.tensor([[[1.0, 0.0]]])

    # a lone word has no rival, so that its attention is even: z = (½, ½), cos = 1 / √2
    assert local_alignment_similarity(patches, word, torch.ones(1, 1)).item() == pytest.approx(5 / math.sqrt(2), abs=1e-5)


def test_equal_captions_share_the_target(batch):
    patches, words, present = batch
    same = (words[:1].expand(4, -1, -1), present[:1].expand(4, -1))

    shared = local_alignment_loss(patches[:1].expand(4, -1, -1, -1), *same, texts=["normal"] * 4)

    assert shared.item() == pytest.approx(math.log(4), abs=1e-5)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(batch, kind):
    patches, words, present = batch
    halves = patches.to(kind), words.to(kind)

    with torch.autocast("cpu", torch.bfloat16):
        loss = local_alignment_loss(*halves, present)

    assert loss.dtype == torch.float32
    assert torch.equal(loss, local_alignment_loss(*(half.float() for half in halves), present))


def kept_for_backward(images, block):
    """Elements in distinct tensors that autograd keeps outside of the blocks which are computed again."""
    patches, words = torch.randn(images, 8, 4, 4, requires_grad=True), torch.randn(images, 6, 8, requires_grad=True)
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.update({x.data_ptr(): x}) or x, lambda x: x):
        local_alignment_similarity(patches, words, torch.ones(images, 6), block=block)
    return sum(tensor.numel() for tensor in kept.values())


def test_memory_does_not_grow_with_images_times_captions():
    assert kept_for_backward(32, 10**9) > 12 * kept_for_backward(8, 10**9)
    assert kept_for_backward(32, 32 * 16 * 6) < 5 * kept_for_backward(8, 8 * 16 * 6)


def test_a_caption_without_a_word_is_refused(batch):
    patches, words, present = batch
    present[2] = False

    with pytest.raises(ValueError, match="caption 2 of 4 has no word"):
        local_alignment_similarity(patches, words, present)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_is_refused_by_its_place(batch, value):
    patches, words, present = batch
    patches[1, 0, 0, 0] = value

    with pytest.raises(ValueError, match="image 1 with caption 0 is nan"):
        local_alignment_loss(patches, words, present)


def test_shapes_that_do_not_fit_are_refused(batch):
    patches, words, present = batch

    with pytest.raises(ValueError, match=r"words \(R, L, D\).* got \(4, 8, 3, 5\), \(4, 7, 6\), \(4, 7\)"):
        local_alignment_similarity(patches, words[..., :6], present)
    with pytest.raises(ValueError, match=r"present \(R, L\)"):
        local_alignment_similarity(patches, words, present[:, :5])
    with pytest.raises(ValueError, match=r"got \(4, 8, 3, 5\), \(0, 7, 8\)"):
        local_alignment_similarity(patches, words[:0], present[:0])
    with pytest.raises(ValueError, match="square"):
        local_alignment_loss(patches[:3], words, present)
