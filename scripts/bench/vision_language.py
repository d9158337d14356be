"""CPU time of BioViL-T and its engine, ours against the official hi-ml-multimodal 0.2.2: the same weights, films, prompts and process.

    python scripts/bench/vision_language.py --official FOLDER [--rounds 5] [--images 4] [--classes 1] [--only pair zero-shot grounding]

FOLDER is where the package is installed (see ``official_biovil``). One thread, process CPU time, the sides by turns; a ratio is the median
over the rounds of official ÷ ours. Weights and films are invented, of the published sizes. What is compared:

pair        one film and the film before as tensors, 448 pixels: the model as it is; with the film before as cached features, as when a
            patient's films are read in order; both with batch norms folded, and under bfloat16 where the processor has it.
zero-shot   M JPG files, for each class four positive and four negative prompts, as in the official example, which encodes the image for
            each of the two and all prompts for each image. Every call has new prompts, for ours keeps those that it knows.
grounding   ten phrases on one JPG file, bilinear maps over the original; new phrases with every call.

Under bfloat16 outputs are near the official ones, not equal to 1e-5 as the others.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import official_biovil as official
import torch
from PIL import Image
from torch import Tensor

from medvl.benchmarks.inference import ImageTextInference
from medvl.models.biovil_t import BioVilTImageModel
from medvl.models.checkpoints import load_biovil_t, load_cxr_bert
from medvl.models.folding import fold_batch_norms
from medvl.models.image_text import ImageTextModel

BERT = {"vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
BERT |= {"max_position_embeddings": 512, "projection_size": 128}
DROPOUT = {"hidden_dropout_prob": 0.25, "attention_probs_dropout_prob": 0.25}
CLASSES = ("pneumonia", "edema", "effusion", "consolidation", "pneumothorax", "atelectasis", "cardiomegaly")
POSITIVE = (
    "Findings consistent with {}",
    "Findings suggesting {}",
    "This opacity can represent {}",
    "Findings are most compatible with {}",
)
NEGATIVE = ("There is no {}", "No evidence of {}", "No evidence of acute {}", "No signs of {}")
SIDES = ("left", "right")
PHRASES = tuple(f"{side} basilar {finding} is seen in the lung" for side in SIDES for finding in CLASSES[:5])
CROP = official.CROP["biovil_t"]


def write_models(folder: Path) -> tuple[Any, ImageTextModel]:
    """The official engine, and our model read from files with its weights."""
    image, text = official.multi_image_model(), official.text_model(BERT | DROPOUT)
    torch.save(image.state_dict(), folder / "image.pt")
    torch.save(text.state_dict(), folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(BERT | DROPOUT))
    sentences = [template.format(name) for template in (*POSITIVE, *NEGATIVE) for name in CLASSES] + list(PHRASES)
    words = sorted({word for sentence in sentences for word in sentence.lower().split()}) + [str(number) for number in range(1000)]
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n")
    engine = official.joint_engine(image, official.text_engine(text, folder / "vocab.txt"))
    return engine, ImageTextModel(load_biovil_t(folder / "image.pt"), load_cxr_bert(folder)).eval()


def write_films(folder: Path, number: int, size: tuple[int, int]) -> list[Path]:
    """Films as JPG files: large structures and noise."""
    draw, paths = np.random.default_rng(0), [folder / f"film {i}.jpg" for i in range(number)]
    for path in paths:
        coarse = Image.fromarray(draw.integers(0, 256, (9, 7), np.uint8)).resize((size[1], size[0]), Image.Resampling.BICUBIC)
        noisy = np.asarray(coarse, np.float32) + draw.normal(0, 6, size).astype(np.float32)
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(path, quality=95)
    return paths


def cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def compare(title: str, sides: Mapping[str, Callable[[], object]], rounds: int) -> None:
    """Interleave the sides, the first of which is the official one, and print a line for each."""
    for work in sides.values():
        work()
    times = [{name: cpu_seconds(work) for name, work in sides.items()} for _ in range(rounds)]
    first = next(iter(sides))
    print(f"\n{title}\n{'':34}{'median ms':>10}{'min ms':>9}{'official ÷ it':>15}{'(of minima)':>13}")
    for name in sides:
        own = [row[name] * 1000 for row in times]
        least = min(row[first] for row in times) * 1000 / min(own)
        ratio = median(row[first] / row[name] for row in times)
        print(f"{name:34}{median(own):10.0f}{min(own):9.0f}{ratio:15.2f}{least:13.2f}", flush=True)


def has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16."""
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and any(flag in flags.read_text() for flag in ("avx512_bf16", "amx_bf16"))


def worst(found: Tensor, expected: Tensor) -> float:
    return (found - expected).abs().max().item()


def bench_pair(engine: Any, model: ImageTextModel, rounds: int) -> None:
    theirs, ours = engine.image_inference_engine.model, model.image
    assert isinstance(ours, BioVilTImageModel)
    folded = fold_batch_norms(ours)
    current, previous = torch.rand(2, 1, 1, CROP, CROP, generator=torch.Generator().manual_seed(0))
    coloured = [film.expand(-1, 3, -1, -1).contiguous() for film in (current, previous)]
    features = ours.encode_static(previous)

    def reduced(work: Callable[[], Any]) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return work()

    pairs: dict[str, Callable[[], Any]] = {
        "official": partial(theirs, *coloured),
        "ours": partial(ours, current, previous),
        "ours, folded": partial(folded, current, previous),
        "ours, prior cached": partial(ours, current, previous_features=features),
        "ours, folded, prior cached": partial(folded, current, previous_features=features),
    }
    expected = pairs["official"]().projected_global_embedding
    for name in pairs:
        if (difference := worst(pairs[name]().projected_global_embedding, expected)) > 1e-5:
            raise SystemExit(f"{name}: the projected embedding differs from the official one by {difference:.1e}")
    if has_bfloat16():
        pairs |= {f"{name}, bfloat16": partial(reduced, pairs[name]) for name in ("ours", "ours, prior cached")}
    compare(f"pair of films, {CROP} pixels", pairs, rounds)


def bench_zero_shot(engine: Any, model: ImageTextModel, films: list[Path], classes: int, rounds: int) -> None:
    inference, reduced = (ImageTextInference(model, CROP, precision=precision) for precision in ("float32", "bfloat16"))
    counters: dict[str, Iterator[int]] = defaultdict(itertools.count)

    def prompts(side: str) -> list[tuple[list[str], list[str]]]:
        number = next(counters[side])
        names = [f"{name} {number}" for name in CLASSES[:classes]]
        return [([text.format(name) for text in POSITIVE], [text.format(name) for text in NEGATIVE]) for name in names]

    def ours(engine: ImageTextInference, side: str) -> np.ndarray:
        return engine.similarity(films, [ensemble for pair in prompts(side) for ensemble in pair])

    def theirs() -> np.ndarray:
        return official.zero_shot(engine, films, prompts("official"))

    sides: dict[str, Callable[[], np.ndarray]] = {"official": theirs, "ours": partial(ours, inference, "ours")}
    difference = np.abs(sides["ours"]() - theirs().reshape(len(films), -1)).max()
    if has_bfloat16():
        sides["ours, bfloat16"] = partial(ours, reduced, "bfloat16")
    words = f"{len(films)} films, 4 + 4 prompts for each class, classes: {classes}"
    compare(f"zero-shot, {words} (largest difference of a cosine {difference:.4f})", sides, rounds)


def bench_grounding(engine: Any, model: ImageTextModel, film: Path, rounds: int) -> None:
    inference = ImageTextInference(model, CROP, geometry="official")
    counters: dict[str, Iterator[int]] = defaultdict(itertools.count)

    def phrases(side: str) -> list[str]:
        number = next(counters[side])
        return [f"{phrase} {number}" for phrase in PHRASES]

    def ours() -> np.ndarray:
        return inference.ground(film, phrases("ours"))

    def theirs() -> np.ndarray:
        return official.ground(engine, film, phrases("official"))

    mine, other = ours(), theirs()
    if not (np.isnan(mine) == np.isnan(other)).all():
        raise SystemExit("the maps do not cover the same pixels")
    title = f"grounding, {len(PHRASES)} phrases on one film (largest difference of a map {np.nanmax(np.abs(mine - other)):.4f})"
    compare(title, {"official": theirs, "ours": ours}, rounds)


def environment() -> str:
    """Versions, processor and load."""
    names = ("torch", "transformers", "hi-ml-multimodal")
    processor = next((line.split(":")[1].strip() for line in _processor_lines() if line.startswith("model name")), "unknown processor")
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{', '.join(f'{name} {version(name)}' for name in names)}; {os.cpu_count()} × {processor}, load {load}"


def _processor_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path, required=True, help="folder in which hi-ml-multimodal is installed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--classes", type=int, nargs="+", default=[1], choices=range(1, len(CLASSES) + 1))
    parser.add_argument("--size", type=int, nargs=2, default=[2544, 3056], metavar=("HEIGHT", "WIDTH"), help="of the films")
    parser.add_argument("--only", nargs="+", choices=["pair", "zero-shot", "grounding"], default=["pair", "zero-shot", "grounding"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    official.import_package(options.official)
    print(environment())
    with tempfile.TemporaryDirectory() as folder:
        engine, model = write_models(Path(folder))
        films = write_films(Path(folder), options.images, tuple(options.size))
        if "pair" in options.only:
            bench_pair(engine, model, options.rounds)
        for classes in options.classes if "zero-shot" in options.only else []:
            bench_zero_shot(engine, model, films, classes, options.rounds)
        if "grounding" in options.only:
            bench_grounding(engine, model, films[0], options.rounds)
    print(f"\nload at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
