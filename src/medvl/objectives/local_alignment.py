"""Local alignment: the words of a report against the patches they attend to (GLoRIA, Huang et al. 2021; BioViL-T's local term).

For patches c_p of one image and words w_l of one report

    s_pl = c_p · w_l        α_pl = softmax_p(temp1 · softmax_l(s_pl))        z_l = Σ_p α_pl c_p
    similarity = log Σ_l exp(temp2 · cos(w_l, z_l))

and the loss is InfoNCE over temp3 · similarity of every image with every report. Both softmaxes are those of the published code: the first
lets words compete for a patch, the second lets patches compete for a word. ``phrase_to_patch`` is its sibling at the grain of sentences.

Departures: InfoNCE is the mean of its two directions, as everywhere in this house, where GLoRIA adds them; one batched product instead
of a loop over captions, in blocks of like length that are computed again for their gradients, so that memory does not grow with images ×
captions.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint

from medvl.objectives.contrastive import info_nce

Aggregation = Literal["sum", "mean"]
Vectors = Literal["as_given", "unit"]
EPSILON = 1e-8  # of the published cosine, under the product of both norms
BLOCK = 2**22  # entries of one image × caption × word × patch table: 16 MiB of float32


def local_alignment_similarity(
    patches: Tensor,
    words: Tensor,
    present: Tensor,
    *,
    temp1: float = 4.0,
    temp2: float = 5.0,
    aggregation: Aggregation = "sum",
    vectors: Vectors = "as_given",
    block: int = BLOCK,
) -> Tensor:
    """Local alignment of every image with every caption.

    Args:
        patches: (B, D, h, w), any scale and precision; computed in float32, also under autocast.
        words: (R, L, D), padded to L; what stands in the padding is without effect, NaN included.
        present: (R, L), which words there are (of captions of n words: ``arange(L) < n[:, None]``); at least one each. Whether [CLS] and
            [SEP] count is the caller's choice.
        temp1: sharpness of a word's attention over patches.
        temp2: sharpness of the sum over words.
        aggregation: ``sum`` over words as published; ``mean`` takes the advantage from long captions.
        vectors: ``as_given`` as in GLoRIA, or first brought to ``unit`` length, which keeps the attention's sharpness from growing with
            the norm (BioViL-T does not say which it uses).
        block: captions are taken together while their table of images × words × patches has at most so many entries; one at least.

    Returns:
        (B, R), between log(n) − temp2 and log(n) + temp2 for n words (``mean``: without the log).

    Raises:
        ValueError: if shapes do not fit, a caption has no word, or a similarity is not finite.
    """
    _check(patches, words, present)
    mask = present.bool()
    with torch.autocast(patches.device.type, enabled=False):
        grid, padded = patches.flatten(2).float(), words.float().masked_fill(~mask[..., None], 0.0)  # (B, D, P), (R, L, D)
        if vectors == "unit":
            grid, padded = normalize(grid, dim=1), normalize(padded, dim=-1)
        align = partial(_align, temp1=temp1, temp2=temp2, aggregation=aggregation)
        blocks = _blocks(mask, block // (grid.shape[0] * grid.shape[2]))
        if len(blocks) > 1 and torch.is_grad_enabled():
            align = partial(checkpoint, align, use_reentrant=False, preserve_rng_state=False)
        parts = [align(grid, padded[rows, :longest], mask[rows, :longest]) for rows, longest in blocks]
        similarity = torch.cat(parts, dim=1)[:, torch.cat([rows for rows, _ in blocks]).argsort()]
    if not (finite := similarity.isfinite()).all():
        image, caption = (~finite).nonzero()[0].tolist()
        raise ValueError(f"the local alignment of image {image} with caption {caption} is {similarity[image, caption].item()}")
    return similarity


def local_alignment_loss(
    patches: Tensor,
    words: Tensor,
    present: Tensor,
    *,
    temp1: float = 4.0,
    temp2: float = 5.0,
    temp3: Tensor | float = 10.0,
    texts: Sequence[Hashable] | None = None,
    aggregation: Aggregation = "sum",
    vectors: Vectors = "as_given",
    block: int = BLOCK,
) -> Tensor:
    """Symmetric InfoNCE over local alignments; half of GLoRIA's two terms.

    Args:
        patches, words, present: of B images and their B captions in the same order. Over several processes, gathered before.
        temp3: what similarities are multiplied by, an inverse temperature.
        texts: B texts (or their ids); equal ones share the target. ``None``: all differ, as published.
        temp1, temp2, aggregation, vectors, block: see ``local_alignment_similarity``.

    Returns:
        Scalar; 0 is perfect, ln B is chance.

    Raises:
        ValueError: if shapes do not fit, a caption has no word, or a similarity is not finite.
    """
    similarity = local_alignment_similarity(
        patches, words, present, temp1=temp1, temp2=temp2, aggregation=aggregation, vectors=vectors, block=block
    )
    return info_nce(similarity, temperature=1 / temp3, texts=texts)


def _blocks(mask: Tensor, most: int) -> list[tuple[Tensor, int]]:
    """Blocks of captions of like length: their numbers, the longest's length; at most so many padded words, but one caption at least."""
    ends = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).amax(dim=1)
    order = ends.argsort(descending=True)
    lengths, blocks, start = ends[order].tolist(), [], 0
    while start < len(order):
        rows = order[start : start + max(1, most // lengths[start])]
        blocks.append((rows, lengths[start]))
        start += len(rows)
    return blocks


def _align(grid: Tensor, words: Tensor, mask: Tensor, *, temp1: float, temp2: float, aggregation: Aggregation) -> Tensor:
    """Patches (B, D, P), words (R, L, D) and which there are (R, L) → (B, R)."""
    flat = words.flatten(0, 1)  # (R · L, D)
    dots = flat @ grid  # (B, R · L, P)
    among_words = dots.unflatten(1, mask.shape).masked_fill(~mask[..., None], -torch.inf).softmax(dim=2)  # (B, R, L, P)
    attention = (temp1 * among_words).softmax(dim=3).flatten(1, 2)  # (B, R · L, P)
    attended = attention @ grid.transpose(1, 2)  # (B, R · L, D)
    lengths = (attended.norm(dim=2) * flat.norm(dim=1)).clamp(min=EPSILON)
    cosine = ((attention * dots).sum(dim=2) / lengths).unflatten(1, mask.shape)  # (B, R, L)
    similarity = (temp2 * cosine).masked_fill(~mask, -torch.inf).logsumexp(dim=2)
    return similarity if aggregation == "sum" else similarity - mask.sum(dim=1).log()


def _check(patches: Tensor, words: Tensor, present: Tensor) -> None:
    fit = patches.dim() == 4 and words.dim() == 3 and patches.shape[1] == words.shape[2] and present.shape == words.shape[:2]
    if not fit or 0 in (*patches.shape, *words.shape):
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (patches, words, present))
        raise ValueError(f"local alignment takes patches (B, D, h, w), words (R, L, D) and present (R, L), got {shapes}")
    if not (spoken := present.bool().any(dim=1)).all():
        raise ValueError(f"caption {int((~spoken).nonzero()[0])} of {len(words)} has no word")
