"""Large contrastive batches in the memory of a small one: cached gradients (GradCache, Gao et al. 2021).

A contrastive loss needs all embeddings of a batch at once, but not all activations. ``embed_in_chunks`` embeds chunk by chunk and keeps
the embeddings only; the loss, whatever it is, is computed on all of them and differentiated as usual; when its gradients arrive at the
embeddings (the cached gradients of the paper), each chunk is embedded again, with the random numbers of the first time, and back-propagated
before the next. Memory is that of one chunk, the embeddings and the loss; the price is a second forward pass.

    global_, patches, words = embed_in_chunks(embed, split_batch(batch, 64))      # with gradients, in order of the batch
    loss = info_nce(gather_with_gradient(global_) @ …, temperature=model.temperature)
    loss.backward()                                                                # or returned from training_step

Departure: in the paper's code the second pass is the caller's, step by step with its own backward and ``no_sync``. Here it is part of the
graph, as activation checkpoints of whole chunks, so that everything around stays as it is: Lightning's automatic optimisation, clipping,
autocast and gradient scaling, losses with parameters of their own (temperature), other losses in the same step, gathering over ranks.
Autograd adds the chunks' gradients up before it hands them to a parameter, so DDP reduces once a step, with ``find_unused_parameters``
off; ``no_sync`` is not needed.

What it asks of ``embed``: rows of a chunk must not depend on its other rows. Batch norm in training mode does: it sees a chunk instead of
the batch, and moves its running statistics twice; keep it in eval mode or use a norm that is free of the batch. Draws by torch's default
generators (dropout, drop path) are replayed, on the CPU and the current CUDA device; draws from elsewhere belong outside of ``embed``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Chunk = TypeVar("Chunk")
Outputs = TypeVar("Outputs", bound=tuple[Tensor, ...])


def embed_in_chunks(embed: Callable[[Chunk], Outputs], chunks: Sequence[Chunk]) -> Outputs:
    """Embed a batch that came in chunks, so that backward needs the activations of one chunk at a time.

    Without gradients, or for a single chunk, nothing is computed twice.

    Args:
        embed: a chunk's outputs, a tuple or NamedTuple of tensors (b, …) with equal trailing sizes in all chunks (texts: pad them to the
            length of the batch's longest, not of the chunk's). Called in order of the chunks, and again in backward.
        chunks: anything that ``embed`` takes; may be lazy, but must give the same chunk twice.

    Returns:
        The outputs of all chunks one after the other, (B, …) each, of the type that ``embed`` returns.

    Raises:
        ValueError: if there is no chunk, or if the outputs of two chunks do not fit together.
    """
    if not chunks:
        raise ValueError("there is no chunk to embed")
    if len(chunks) == 1 or not torch.is_grad_enabled():
        parts = [embed(chunk) for chunk in chunks]
    else:
        parts = [_embed_again_in_backward(embed, chunks, number) for number in range(len(chunks))]
    for number, part in enumerate(parts):
        _check(part, parts[0], number)
    whole = [torch.cat(tensors) for tensors in zip(*parts, strict=True)]
    kind: Any = type(parts[0])
    return kind._make(whole) if hasattr(kind, "_make") else kind(whole)


def split_batch(batch: Mapping[str, Any], size: int) -> list[dict[str, Any]]:
    """Cut a batch into chunks of at most ``size`` rows.

    Args:
        batch: tensors and lists with the same number of rows are cut; anything else (numbers, strings, None) goes into every chunk.
        size: rows of a chunk.

    Raises:
        ValueError: if nothing has rows, if their numbers differ, or if ``size`` is below 1.
    """
    counts = {name: len(value) for name, value in batch.items() if _has_rows(value)}
    if len(set(counts.values())) != 1 or size < 1:
        raise ValueError(f"cannot cut a batch into chunks of {size} rows: its parts have {counts or 'no'} rows")
    rows = next(iter(counts.values()))
    return [{k: v[start : start + size] if k in counts else v for k, v in batch.items()} for start in range(0, rows, size)]


def _has_rows(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or (isinstance(value, Tensor) and value.dim() > 0)


def _embed_again_in_backward(embed: Callable[[Chunk], Outputs], chunks: Sequence[Chunk], number: int) -> Outputs:
    contexts = nullcontext(), _Replay()
    options: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False, "context_fn": lambda: contexts}
    return checkpoint(lambda: embed(chunks[number]), **options)


class _Replay:
    """A context, any number of times, in which torch draws what it draws from the moment that this is made.

    The checkpoint's own way looks for devices among its tensor arguments; a chunk may be a list of texts.
    """

    def __init__(self) -> None:
        self.then = _random_states()

    def __enter__(self) -> None:
        self.now = _random_states()
        _set_random_states(self.then)

    def __exit__(self, *error: object) -> None:
        _set_random_states(self.now)


def _random_states() -> tuple[Tensor, Tensor | None]:
    """States of the default generators of the CPU and of the current CUDA device, if there is one in use."""
    return torch.get_rng_state(), torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None


def _set_random_states(states: tuple[Tensor, Tensor | None]) -> None:
    cpu, cuda = states
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state(cuda)


def _check(part: Any, first: tuple[Tensor, ...], number: int) -> None:
    if not isinstance(part, tuple):
        raise ValueError(f"embed must return a tuple of tensors, got {type(part).__name__}")
    if [tensor.shape[1:] for tensor in part] != [tensor.shape[1:] for tensor in first]:
        ours, theirs = ([tuple(tensor.shape) for tensor in outputs] for outputs in (part, first))
        raise ValueError(f"the outputs of chunks 0 and {number} do not fit together: {theirs} and {ours}")
