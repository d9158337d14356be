"""A small image-text model whose step is plain or in chunks, and what the tests of cached gradients compare."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from medvl.objectives.contrastive import info_nce
from medvl.objectives.local_alignment import local_alignment_loss
from medvl.runtime.distributed import gather_with_gradient
from medvl.training.cached_gradients import embed_in_chunks, split_batch

WORDS, WIDTH = 5, 6


class Embeddings(NamedTuple):
    image: Tensor
    patches: Tensor
    words: Tensor


class Pair(nn.Module):
    """An image side, a text side with shared weights used twice, and a temperature; ``forward`` is a whole step's loss."""

    def __init__(self, *, dropout=0.0, norm=False, chunk=None):
        super().__init__()
        torch.manual_seed(0)
        self.image = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8) if norm else nn.Identity(), nn.Tanh(), nn.Dropout(dropout))
        self.project = nn.Conv2d(8, WIDTH, 1)
        self.text, self.drop = nn.Embedding(20, WIDTH), nn.Dropout(dropout)
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.log_temperature = nn.Parameter(torch.tensor(0.0))
        self.chunk = chunk

    def embed(self, chunk):
        patches = self.project(self.image(chunk["image"]))
        words = self.drop(self.mix(torch.tanh(self.mix(self.text(chunk["tokens"])))))
        return Embeddings(normalize(patches.mean(dim=(2, 3)), dim=1), patches, words)

    def forward(self, batch):
        embedded = self.embed(batch) if self.chunk is None else embed_in_chunks(self.embed, split_batch(batch, self.chunk))
        image, patches, words = (gather_with_gradient(part) for part in embedded)
        similarity = image @ normalize(words.mean(dim=1), dim=1).T
        present = torch.ones(words.shape[:2])
        local = local_alignment_loss(patches, words, present, temp3=1.0, block=200)
        return info_nce(similarity, temperature=self.log_temperature.exp()) + local


def pairs(rows, *, kind=torch.float32):
    draw = torch.Generator().manual_seed(1)
    images = torch.rand(rows, 1, 8, 8, generator=draw).to(kind)
    return {"image": images, "tokens": torch.randint(20, (rows, WORDS), generator=draw), "epoch": 3}


def gradients(model):
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def step(model, batch, *, seed=0):
    model.zero_grad()
    torch.manual_seed(seed)
    loss = model(batch)
    loss.backward()
    return loss.detach(), {name: gradient.clone() for name, gradient in gradients(model).items()}


def nearly(ours, theirs):
    """Equal to what float32 can say of sums in another order; the gradients of these tests are below 1."""
    return torch.allclose(ours, theirs, rtol=0, atol=1e-6)


def assert_same(ours, theirs):
    assert ours[0].item() == pytest.approx(theirs[0].item(), abs=1e-6)
    assert ours[1].keys() == theirs[1].keys()
    assert all(nearly(ours[1][name], theirs[1][name]) for name in theirs[1])
