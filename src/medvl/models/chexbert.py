"""CheXbert (Smit et al., EMNLP 2020): BERT-base that labels a report with the 14 findings of CheXpert.

The [CLS] vector of the last layer goes through one linear head per finding: four classes (blank, positive, negative, uncertain) for 13
findings, two (blank, positive) for ``No Finding``. Official weights are ``chexbert.pth``, a dictionary whose ``model_state_dict`` carries
the prefix ``module.`` of data-parallel training; they are read from a local path with ``weights_only``, and every tensor must be there with
its shape. The word pieces are those of ``bert-base-uncased`` (``vocab.txt``); longer reports are cut at 512 pieces, as there.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers.implementations import BertWordPieceTokenizer
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from medvl.records import LabelValue
from medvl.runtime.errors import InvalidValue, MissingFile

FINDINGS = (
    *("Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia"),
    *("Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices", "No Finding"),
)
CLASSES: tuple[LabelValue | None, ...] = (None, "positive", "negative", "uncertain")  # None is blank
HEADS = (*(len(CLASSES) for _ in FINDINGS[:-1]), 2)
MAX_LENGTH = 512


class CheXbert(nn.Module):
    """BERT with one linear head per finding.

    Args:
        vocabulary_size, width, layers, heads, feed_forward: of BERT; the defaults are the published size.
        dropout: on the [CLS] vector.
    """

    def __init__(
        self,
        vocabulary_size: int = 30522,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        feed_forward: int = 3072,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        config = BertConfig(
            vocab_size=vocabulary_size,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=feed_forward,
            max_position_embeddings=MAX_LENGTH,
        )
        self.bert = BertModel(config)  # its pooler is in the official file and not used
        self.dropout = nn.Dropout(dropout)
        self.linear_heads = nn.ModuleList(nn.Linear(width, classes) for classes in HEADS)

    def embed(self, token_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(N, T) ids and mask → (N, width), the [CLS] vector of the last layer."""
        return self.bert(input_ids=token_ids, attention_mask=attention_mask).last_hidden_state[:, 0]

    def forward(self, token_ids: Tensor, attention_mask: Tensor) -> list[Tensor]:
        """(N, T) ids and mask → logits (N, 4) per finding, (N, 2) for the last."""
        cls = self.dropout(self.embed(token_ids, attention_mask))
        return [head(cls) for head in self.linear_heads]


class CheXbertLabeller:
    """Labels and embeds texts with a CheXbert: the callable that the metrics take.

    Args:
        model: in evaluation mode from here on.
        vocabulary: ``vocab.txt`` of ``bert-base-uncased``.
        batch_size: texts at once.

    Raises:
        MissingFile: if the vocabulary is not there.
    """

    name = "chexbert"

    def __init__(self, model: CheXbert, vocabulary: Path | str, batch_size: int = 32) -> None:
        if not Path(vocabulary).is_file():
            raise MissingFile(Path(vocabulary), "CheXbert reads the vocab.txt of bert-base-uncased.")
        self.model = model.eval()
        self.batch_size = batch_size
        self._tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=True)
        self._tokenizer.enable_truncation(MAX_LENGTH)
        self._tokenizer.enable_padding()

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> list[dict[str, LabelValue]]:
        """The labels of each text; a blank finding is left out."""
        labels: list[dict[str, LabelValue]] = []
        for start in range(0, len(texts), self.batch_size):
            logits = self.model(*self._encoded(texts[start : start + self.batch_size]))
            chosen = torch.stack([finding.argmax(dim=1) for finding in logits], dim=1).tolist()  # (N, 14)
            for row in chosen:
                values = {finding: CLASSES[index] for finding, index in zip(FINDINGS, row, strict=True)}
                labels.append({finding: value for finding, value in values.items() if value is not None})
        return labels

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, width): the [CLS] vector of each text."""
        batches = [self._encoded(texts[start : start + self.batch_size]) for start in range(0, len(texts), self.batch_size)]
        return torch.cat([self.model.embed(*batch) for batch in batches]).cpu().numpy()

    def _encoded(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        encodings = self._tokenizer.encode_batch([" ".join(text.split()) for text in texts])
        device = next(self.model.parameters()).device
        ids = torch.tensor([encoding.ids for encoding in encodings], device=device)
        return ids, torch.tensor([encoding.attention_mask for encoding in encodings], device=device)


def load_chexbert(checkpoint: Path | str, vocabulary: Path | str, batch_size: int = 32, model: CheXbert | None = None) -> CheXbertLabeller:
    """A labeller with the official weights.

    Args:
        checkpoint: ``chexbert.pth``.
        vocabulary: ``vocab.txt`` of ``bert-base-uncased``.
        batch_size: texts at once.
        model: to load into; the published size by default.

    Raises:
        MissingFile: naming the absent file.
        InvalidValue: naming the file and the tensors that are missing, unexpected or of another shape.
    """
    path = Path(checkpoint)
    if not path.is_file():
        raise MissingFile(path, "Give the path of chexbert.pth; the rule labeller needs no weights.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        state = {name.removeprefix("module."): tensor for name, tensor in content["model_state_dict"].items()}
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise InvalidValue(path, "field 'model_state_dict'", f"is no checkpoint of CheXbert ({type(error).__name__})") from error
    state.pop("bert.embeddings.position_ids", None)  # a constant that older versions of transformers saved
    loaded = CheXbert() if model is None else model
    try:
        loaded.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise InvalidValue(path, "tensors", " ".join(str(error).split())) from error
    return CheXbertLabeller(loaded, vocabulary, batch_size)
