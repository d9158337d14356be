"""Peak memory of a contrastive step: a plain one on 64 pairs against one with cached gradients on 1,024.

python scripts/bench/contrastive_memory.py [--batch 1024] [--chunk 16] [--against 64]

BioViL-T in small (residual trunk of stride 16, two films of 160 pixels a study, CXR-BERT of two layers, 48 word pieces), InfoNCE on global
embeddings, AdamW, one thread, float32, batch norm in eval mode, dropout on. Films wait as bytes and become float32 in their chunk, as the
cache holds them. Each step runs in a process of its own that does nothing else; what it added is the process's peak of resident memory
less the peak before the step, model, optimiser and batch being there. Time is the CPU time of that one step. Chunks differ in size (one
film or two), so that the C library's heap keeps more than what is alive; that counts here.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from medvl.models.biovil_t import BioVilTImageModel
from medvl.models.cxr_bert import CxrBert
from medvl.models.image_text import ImageTextModel
from medvl.models.resnet import SmallResNet
from medvl.objectives.contrastive import info_nce
from medvl.training.cached_gradients import embed_in_chunks, split_batch

PIXELS, PIECES, VOCABULARY = 160, 48, 2048


def small_model() -> ImageTextModel:
    image = BioVilTImageModel(SmallResNet(norm="group"), projection_size=128, width=128, heads=4, blocks=2)
    text = CxrBert(VOCABULARY, width=128, layers=2, heads=4, feed_forward=512, max_length=PIECES)
    model = ImageTextModel(image, text, temperature=0.1, learn_temperature=True)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return model


def studies(rows: int) -> dict[str, Any]:
    """Invented pairs of films and token ids; every third study has no film before."""
    draw = torch.Generator().manual_seed(0)
    films = {name: torch.randint(256, (rows, 1, PIXELS, PIXELS), generator=draw, dtype=torch.uint8) for name in ("current", "previous")}
    tokens = torch.randint(5, VOCABULARY, (rows, PIECES), generator=draw)
    return {**films, "has_previous": torch.arange(rows) % 3 > 0, "tokens": tokens}


def embed(model: ImageTextModel, chunk: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Global embeddings of films and of texts, (b, D) of unit length."""
    current, previous = (chunk[name].float() / 255 for name in ("current", "previous"))
    mask = torch.ones_like(chunk["tokens"])
    texts = model.text.project(model.text.pool(model.text(chunk["tokens"], mask), mask))
    return model.embed_images(current, previous, chunk["has_previous"]).projected_global_embedding, normalize(texts, dim=1)


def one_step(batch: int, chunk: int) -> dict[str, float]:
    """The peak of this process in MB, what the step added to it, its CPU seconds and its loss."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, whole = small_model(), studies(batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    warm = embed_in_chunks(lambda rows: embed(model, rows), split_batch(studies(2), 1))  # imports and kernels, not part of a step
    sum(part.sum() for part in warm).backward()
    optimizer.step()
    before, began = peak(), time.process_time()
    images, texts = embed_in_chunks(lambda rows: embed(model, rows), split_batch(whole, chunk))
    loss = info_nce(images @ texts.T, temperature=model.temperature)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return {"peak": peak(), "added": peak() - before, "seconds": time.process_time() - began, "loss": loss.item()}


def peak() -> float:
    """Highest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=1024, help="pairs of the step with cached gradients")
    parser.add_argument("--chunk", type=int, default=16, help="pairs embedded at a time")
    parser.add_argument("--against", type=int, default=64, help="pairs of the plain step")
    parser.add_argument("--one", type=int, nargs=2, metavar=("BATCH", "CHUNK"), help="measure one step in this process and leave")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one_step(*arguments.one)))
        return
    print(f"{'step':<16}{'pairs':>6}{'at a time':>11}{'peak MB':>10}{'added MB':>10}{'CPU s':>8}{'ms a pair':>11}{'loss':>8}")
    rows = [("plain", arguments.against, arguments.against), ("cached gradients", arguments.batch, arguments.chunk)]
    for name, batch, chunk in rows:
        command = [sys.executable, __file__, "--one", str(batch), str(chunk)]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        cost = f"{found['peak']:>10,.0f}{found['added']:>10,.0f}{found['seconds']:>8.1f}{found['seconds'] / batch * 1000:>11.1f}"
        print(f"{name:<16}{batch:>6}{chunk:>11}{cost}{found['loss']:>8.3f}", flush=True)


if __name__ == "__main__":
    main()
