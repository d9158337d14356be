"""Large contrastive batches in the memory of a small one: cached gradients (GradCache, Gao et al. 2021).

A contrastive loss needs all embeddings of a batch at once, but not all activations. ``embed_in_chunks`` embeds chunk by chunk and keeps
the embeddings only; the loss, whatever it is, is computed on all of them and differentiated as usual; when its gradients arrive at the
embeddings (the cached gradients of the paper), each chunk is embedded again, with the random numbers of the first time, and back-propagated
before the next. Memory is that of one chunk, the embeddings and the loss; the price is a second forward pass.

    global_, patches, words = embed_in_chunks(embed, split_batch(batch, 64))      # with gradients, in order of the batch
    loss = info_nce(gather_with_gradient(global_) @ …, temperature=model.temperature)
    loss.backward()                                                                # or returned from training_step

Departure: in the paper's code the second pass is the caller's, chunk by chunk with backward and ``no_sync``. Here it is the backward of
one autograd function, whose inputs are the parameters that the first pass reached and whose outputs are the embeddings. So everything
around stays as it is: Lightning's automatic optimisation, clipping, autocast and gradient scaling, losses with parameters of their own
(temperature), other losses in the same step, gathering over ranks. A parameter gets its gradient once, summed over chunks, so DDP reduces
once a step, with ``find_unused_parameters`` off; ``no_sync`` is not needed. ``torch.utils.checkpoint`` over chunks would compute the same;
it keeps every chunk's graph between the passes, small things that split the heap on a CPU, and misses the CUDA state of a chunk of texts.

What it asks of ``embed``: rows of a chunk must not depend on its other rows. Batch norm in training mode does: it sees a chunk instead of
the batch, and moves its running statistics twice; keep it in eval mode or use a norm that is free of the batch. Draws by torch's default
generators (dropout, drop path) are replayed, on the CPU and the current CUDA device; draws from elsewhere belong outside of ``embed``.
Gradients reach parameters, not what a chunk holds; there is no second derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.autograd.graph import get_gradient_edge

Chunk = TypeVar("Chunk")
Outputs = TypeVar("Outputs", bound=tuple[Tensor, ...])
DEVICES = "cpu", "cuda"  # whose autocast and random state are those of the first pass


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
    if len(chunks) > 1 and torch.is_grad_enabled():
        passes = _Passes(embed, chunks)
        whole = passes.first()
        kind, whole = passes.kind, _Embeddings.apply(passes, whole, *passes.parameters)
    else:
        parts = [_outputs(embed, chunk) for chunk in chunks]
        kind, whole = type(parts[0]), _joined(parts)
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


class _Passes(Generic[Chunk, Outputs]):
    """The first pass, which notes what each chunk drew and which parameters it reached, and the second."""

    def __init__(self, embed: Callable[[Chunk], Outputs], chunks: Sequence[Chunk]) -> None:
        self.embed, self.chunks = embed, chunks
        self.states: list[_State] = []
        self.rows: list[list[int]] = []  # of each chunk's outputs
        self.learns: list[list[bool]] = []  # whether each has a gradient
        self.reached: dict[int, Tensor] = {}
        self.kind: Any = None

    @property
    def parameters(self) -> list[Tensor]:
        """What the first pass reached, in the order of the second pass's gradients."""
        return list(self.reached.values())

    def first(self) -> tuple[Tensor, ...]:
        """The outputs of all chunks, without a graph."""
        return _joined([self._embed(number) for number in range(len(self.chunks))])

    def _embed(self, number: int) -> tuple[Tensor, ...]:
        """One chunk's outputs; a function, as the next, so that nothing of a chunk's graph is left when the next chunk's is made."""
        self.states.append(_state())
        outputs = _outputs(self.embed, self.chunks[number])
        self.kind = type(outputs)
        self.rows.append([len(tensor) for tensor in outputs])
        self.learns.append([tensor.requires_grad for tensor in outputs])
        self.reached.update({id(leaf): leaf for leaf in _leaves(outputs)})
        return tuple(tensor.detach().clone() for tensor in outputs)  # not a view of something large

    def second(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Gradients of the embeddings → gradients of the parameters; one chunk's graph at a time."""
        totals: list[Tensor | None] = [None] * len(self.reached)
        columns = [_split(gradient, rows) for gradient, rows in zip(gradients, zip(*self.rows, strict=True), strict=True)]
        for number, parts in enumerate(zip(*columns, strict=True)):
            self._back_propagate(number, parts, totals)
        return totals

    def _back_propagate(self, number: int, gradients: Sequence[Tensor | None], totals: list[Tensor | None]) -> None:
        """Add one chunk's gradients to the totals."""
        with _as_it_was(self.states[number]):
            outputs = self.embed(self.chunks[number])
        pairs = [(x, g) for x, g in zip(outputs, gradients, strict=True) if g is not None and x.requires_grad]
        if pairs:
            found = torch.autograd.grad([x for x, _ in pairs], self.parameters, [g for _, g in pairs], allow_unused=True)
            for place, gradient in enumerate(found):
                total = totals[place]
                if gradient is not None:  # the first is copied, for it may share memory with another
                    totals[place] = gradient.clone() if total is None else total.add_(gradient)


class _Embeddings(torch.autograd.Function):
    """The outputs of the first pass as a function of the parameters; its backward is the second pass."""

    @staticmethod
    def forward(context: Any, passes: _Passes[Any, Any], whole: tuple[Tensor, ...], *parameters: Tensor) -> tuple[Tensor, ...]:
        context.passes = passes
        context.set_materialize_grads(False)
        constant = [not any(column) for column in zip(*passes.learns, strict=True)]
        context.mark_non_differentiable(*(tensor for tensor, alone in zip(whole, constant, strict=True) if alone))
        return whole

    @staticmethod
    @once_differentiable
    def backward(context: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        return None, None, *context.passes.second(gradients)


def _outputs(embed: Callable[[Chunk], Outputs], chunk: Chunk) -> Outputs:
    outputs = embed(chunk)
    if not isinstance(outputs, tuple):
        raise ValueError(f"embed must return a tuple of tensors, got {type(outputs).__name__}")
    return outputs


def _split(gradient: Tensor | None, rows: Sequence[int]) -> Sequence[Tensor | None]:
    """The gradient of one output, for each chunk."""
    return [None] * len(rows) if gradient is None else gradient.split(list(rows))


def _joined(parts: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """The outputs of all chunks, one after the other."""
    for number, part in enumerate(parts):
        if [tensor.shape[1:] for tensor in part] != [tensor.shape[1:] for tensor in parts[0]]:
            shapes = [[tuple(tensor.shape) for tensor in outputs] for outputs in (parts[0], part)]
            raise ValueError(f"the outputs of chunks 0 and {number} do not fit together: {shapes[0]} and {shapes[1]}")
    return tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))


def _leaves(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The parameters that outputs were computed from: the ends of their graph."""
    waiting = [get_gradient_edge(tensor).node for tensor in outputs if tensor.requires_grad]
    seen, found = set(waiting), []
    while waiting:
        node = waiting.pop()
        if node.name() == "torch::autograd::AccumulateGrad":
            found.append(node.variable)  # type: ignore[attr-defined]
        new = {parent for parent, _ in node.next_functions if parent is not None} - seen
        seen |= new
        waiting += new
    return found


class _State(NamedTuple):
    """Random states (None: no such device in use) and autocast settings of ``DEVICES``."""

    cpu: Tensor
    cuda: Tensor | None
    autocast: list[dict[str, Any]]


def _state() -> _State:
    cached = torch.is_autocast_cache_enabled()
    autocast = [{"dtype": torch.get_autocast_dtype(device), "enabled": torch.is_autocast_enabled(device)} for device in DEVICES]
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
    return _State(torch.get_rng_state(), cuda, [{**settings, "cache_enabled": cached} for settings in autocast])


@contextmanager
def _as_it_was(state: _State) -> Iterator[None]:
    """With gradients, autocast and random numbers as they were then; after it, random numbers go on as if nothing had been drawn."""
    now = _state()
    on_cpu, on_cuda = (torch.autocast(device, **settings) for device, settings in zip(DEVICES, state.autocast, strict=True))
    try:
        _set_random(state)
        with torch.enable_grad(), on_cpu, on_cuda:
            yield
    finally:
        _set_random(now)


def _set_random(state: _State) -> None:
    torch.set_rng_state(state.cpu)
    if state.cuda is not None:
        torch.cuda.set_rng_state(state.cuda)
