"""BERTScore (Zhang et al., ICLR 2020): greedy matching of contextual word pieces by cosine.

    P = Σ_i w_i max_j cos(x_i, y_j) / Σ_i w_i,   R the same from the reference's side,   F1 = 2PR / (P + R)

with x the pieces of the prediction, y those of the reference, and weights w: 1, or the inverse document frequency
log((M + 1) / (n + 1)) over the M references of this call; the first and last special piece weigh nothing. Rescaling maps a baseline b of
the model to 0: (s − b) / (1 − b). As in the package ``bert-score``: hidden states of one layer, an empty text scores 0.

The encoder is read from a local folder in Hugging Face's layout; nothing is downloaded. RadCliQ's is distilroberta-base, layer 5,
rescaled, without idf; with idf a score depends on the set. Departure: the package multiplies the cosines of padding by 0, so that padding
can win over negative cosines and a score can depend on its batch; here padding takes no part. Otherwise equal: within 2e-7 on MiniLM-L6.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medvl.metrics.scores import Scores, function_name, paired, scores
from medvl.runtime.errors import MissingFile, UserError


@dataclass(frozen=True, slots=True)
class EncodedText:
    """Word pieces of one text, special ones included, and their vectors (T, D)."""

    pieces: tuple[int, ...]
    vectors: NDArray[np.float32]


Encoder = Callable[[Sequence[str]], Sequence[EncodedText]]


def bertscore(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    encoder: Encoder,
    idf: bool = False,
    baseline: tuple[float, float, float] | None = None,
) -> Scores:
    """BERTScore of predictions against one reference each.

    Example: between the special pieces, vectors (1, 0) and (0, 1) against (1, 0): P = (1 + 0) / 2, R = 1, F1 = 2/3.

    Args:
        predictions, references: N reports each.
        encoder: ``LocalEncoder``, or any function to ``EncodedText``.
        idf: whether pieces weigh by their inverse document frequency in ``references``.
        baseline: of precision, recall and F1, for rescaling; a line of the package's baseline file.

    Returns:
        ``precision``, ``recall``, ``f1``; the corpus values are means.

    Raises:
        ValueError: if the lists differ in length or are empty.
    """
    paired("bertscore", predictions, references)
    said, wanted = encoder(predictions), encoder(references)
    weights = _idf(wanted) if idf else None
    values = np.array([_matched(p, r, weights) for p, r in zip(said, wanted, strict=True)])  # (N, 3)
    if baseline is not None:
        values = (values - np.array(baseline)) / (1 - np.array(baseline))
    protocol = {"version": 1, "encoder": function_name(encoder), "idf": idf, "baseline": None if baseline is None else list(baseline)}
    return scores("bertscore", dict(zip(("precision", "recall", "f1"), values.T, strict=True)), protocol)


class LocalEncoder:
    """Hidden states of one layer of a transformer in a local folder.

    Args:
        folder: with ``config.json``, weights and tokenizer, as Hugging Face writes them.
        layer: 1 is the first; the package's choice for distilroberta-base is 5, for distilbert-base-uncased 5, for roberta-large 17.
        batch_size: texts at once.

    Raises:
        MissingFile: if the folder has no ``config.json``.
        UserError: if the model has fewer layers.
    """

    def __init__(self, folder: Path | str, layer: int, batch_size: int = 32) -> None:
        from transformers import AutoModel, AutoTokenizer

        if not (Path(folder) / "config.json").is_file():
            raise MissingFile(Path(folder) / "config.json", "BERTScore reads its encoder from a local folder.")
        self._model: Any = AutoModel.from_pretrained(str(folder), local_files_only=True).eval()
        # The package puts a space before the first word where word pieces begin with one.
        spaced = {"add_prefix_space": True} if self._model.config.model_type in ("roberta", "gpt2") else {}
        self._tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, **spaced)
        if not 1 <= layer <= self._model.config.num_hidden_layers:
            raise UserError(f"{folder} has {self._model.config.num_hidden_layers} layers, BERTScore was asked for layer {layer}")
        # RoBERTa numbers positions from 2 on, so two of its embeddings are never used.
        positions = self._model.config.max_position_embeddings - (2 if self._model.config.model_type == "roberta" else 0)
        self._limit = min(self._tokenizer.model_max_length, positions)
        self.layer, self.batch_size = layer, batch_size
        self.name = f"{Path(folder).name}:L{layer}"

    def __call__(self, texts: Sequence[str]) -> list[EncodedText]:
        """Pieces and vectors of each text; longer texts are cut at the model's length."""
        encoded: list[EncodedText] = []
        for start in range(0, len(texts), self.batch_size):
            encoded += self._batch([text.strip() for text in texts[start : start + self.batch_size]])
        return encoded

    def _batch(self, texts: list[str]) -> list[EncodedText]:
        import torch

        batch = self._tokenizer(texts, padding=True, truncation=True, max_length=self._limit, return_tensors="pt")
        with torch.inference_mode():
            hidden = self._model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], output_hidden_states=True
            ).hidden_states[self.layer]
        rows = zip(batch["input_ids"], batch["attention_mask"].bool(), hidden, strict=True)
        return [EncodedText(tuple(ids[mask].tolist()), vectors[mask].float().cpu().numpy()) for ids, mask, vectors in rows]


def _idf(references: Sequence[EncodedText]) -> dict[int, float]:
    """log((M + 1) / (n + 1)) of each piece, with n = 0 for a piece of no reference; 0 for the special pieces, which all have."""
    found = Counter(piece for text in references for piece in set(text.pieces))
    return defaultdict(
        lambda: math.log(len(references) + 1),
        {piece: math.log((len(references) + 1) / (count + 1)) for piece, count in found.items()},
    )


def _matched(said: EncodedText, wanted: EncodedText, idf: dict[int, float] | None) -> tuple[float, float, float]:
    """Precision, recall, F1 of one pair; 0 if a text has no piece but the special ones."""
    if len(said.pieces) <= 2 or len(wanted.pieces) <= 2:
        return 0.0, 0.0, 0.0
    similarity = _unit(said.vectors) @ _unit(wanted.vectors).T  # (T, S)
    precision = _weighted_mean(similarity.max(axis=1), said, idf)
    recall = _weighted_mean(similarity.max(axis=0), wanted, idf)
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total else 0.0


def _weighted_mean(best: NDArray[np.float64], text: EncodedText, idf: dict[int, float] | None) -> float:
    """Special pieces can be matched but weigh nothing; NaN where every piece weighs nothing."""
    weights = np.array([1.0 if idf is None else idf[piece] for piece in text.pieces])
    weights[[0, -1]] = 0
    return float(best @ weights / weights.sum()) if weights.any() else math.nan


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    long = vectors.astype(np.float64)
    return long / np.linalg.norm(long, axis=1, keepdims=True)
