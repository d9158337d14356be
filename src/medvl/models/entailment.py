"""An inference head on CXR-BERT: does the hypothesis follow from the premise, contradict it, or is it left open?

The usual classifier of sentence pairs (Devlin et al. 2019), with which CXR-BERT (Boecking et al. 2022) is tried on RadNLI:

    [CLS] premise [SEP] hypothesis [SEP], token types 0 … 0 1 … 1 → BERT → one vector (N, W) → dropout → linear W → 3

On disk it is a folder as those of the other models; the text model in it is whole, so that ``load_cxr_bert`` reads it as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from medvl.models.cxr_bert import FORBIDDEN, CxrBert
from medvl.models.model_folders import TOKENIZER, WEIGHTS, load_strictly, own_config, own_tensors, save_folder

RELATIONS = ("entailment", "neutral", "contradiction")
ARCHITECTURE = "entailment"

TextPair = tuple[str, str]
"""Premise and hypothesis."""


class EntailmentClassifier(nn.Module):
    """A text model with a linear head of three classes, in the order of ``RELATIONS``.

    Args:
        text: the text model, which is trained further; its vocabulary is used.
        dropout: on the vector that the head reads.
    """

    def __init__(self, text: CxrBert, dropout: float = 0.1) -> None:
        super().__init__()
        self.config: dict[str, Any] = {"dropout": dropout}
        self.text = text
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(text.config["width"], len(RELATIONS))

    def forward(self, token_ids: Tensor, attention_mask: Tensor, token_types: Tensor) -> Tensor:
        """Ids, mask (1 for tokens, 0 for padding) and types (0 premise, 1 hypothesis), each (N, T) → logits (N, 3)."""
        hidden = self.text(token_ids, attention_mask, token_types)  # (N, T, W)
        return self.head(self.dropout(self.text.pool(hidden, attention_mask)))

    def tokenize(self, pairs: Sequence[TextPair]) -> tuple[Tensor, Tensor, Tensor]:
        """N pairs → token ids, attention mask and token types, each (N, T).

        Raises:
            ValueError: if the text model has no tokenizer; if a text is empty or holds a special token; if a pair is too long.
        """
        if self.text.tokenizer is None:
            raise ValueError("the text model has no tokenizer: call set_tokenizer first")
        for number, pair in enumerate(pairs, start=1):
            for text in pair:
                if not text.strip():
                    raise ValueError(f"a text of pair {number} of {len(pairs)} is empty")
                if found := [token for token in FORBIDDEN if token in text]:
                    raise ValueError(f"pair {number} of {len(pairs)} holds the special token {found[0]}; only [MASK] may stand in a text")
        encodings = self.text.tokenizer.encode_batch(list(pairs))
        if encodings and len(encodings[0].ids) > self.text.max_length:  # all are as long as the longest
            raise ValueError(f"a pair of texts has {len(encodings[0].ids)} word pieces, the model reads {self.text.max_length}")
        device = self.head.weight.device
        ids, mask, types = ([getattr(e, name) for e in encodings] for name in ("ids", "attention_mask", "type_ids"))
        return torch.tensor(ids, device=device), torch.tensor(mask, device=device), torch.tensor(types, device=device)

    @torch.inference_mode()
    def probabilities(self, pairs: Sequence[TextPair], *, batch_size: int = 64) -> Tensor:
        """N pairs → (N, 3) on the CPU in float32; errors as ``tokenize``, and if the model is in training mode.

        Raises:
            ValueError: in training mode, in which dropout would enter the answer.
        """
        if self.training:
            raise ValueError("the model is in training mode: call eval() before asking it")
        batches = [pairs[start : start + batch_size] for start in range(0, len(pairs), batch_size)]
        logits = [self(*self.tokenize(batch)).float().cpu() for batch in batches]
        return torch.cat(logits).softmax(dim=1) if logits else torch.zeros(0, len(RELATIONS))


def save_entailment(model: EntailmentClassifier, folder: Path) -> None:
    """Write a classifier's folder; each file atomically, the weights last."""
    save_folder(model, folder, {"architecture": ARCHITECTURE, **model.config, "text": model.text.config}, model.text.tokenizer)


def load_entailment(folder: Path | str) -> EntailmentClassifier:
    """Read a classifier's folder, in evaluation mode.

    Raises:
        MissingFile: naming the absent file.
        InvalidValue: naming the file and what does not fit.
    """
    folder = Path(folder)
    config = own_config(folder, ARCHITECTURE)
    model = EntailmentClassifier(CxrBert(**config.pop("text")), **config)
    load_strictly(model, own_tensors(folder / WEIGHTS), folder / WEIGHTS)
    model.text.set_tokenizer(Tokenizer.from_file(str(folder / TOKENIZER)))
    return model.eval()
