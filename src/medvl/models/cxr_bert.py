"""CXR-BERT (Boecking et al., ECCV 2022): BERT for radiology reports, its [CLS] token projected into the space that images share.

    hidden states (N, T, W) → [CLS] → linear W → D → GELU → layer norm → linear D → D

Tensor names are those of the official checkpoints (``CXRBertModel``): ``bert.*``, ``cls.predictions.*`` for masked language modelling
and ``cls_projection_head.*``. Departures: texts are embedded without the masked-language head, whose result the official code computes for
every token and drops; and a small model trained from nothing may take the mean over tokens instead of [CLS], by name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import gelu, normalize
from transformers import BertConfig, BertForMaskedLM

from medvl.models.tokenizer import SPECIAL_TOKENS, fit_to_model, token_batch

Pooling = Literal["cls", "mean"]
FORBIDDEN = [token for token in SPECIAL_TOKENS if token != "[MASK]"]


class TextProjection(nn.Module):
    """From BERT's width to the joint space: (…, W) → (…, D)."""

    def __init__(self, width: int, projection_size: int) -> None:
        super().__init__()
        self.dense_to_hidden = nn.Linear(width, projection_size)
        self.LayerNorm = nn.LayerNorm(projection_size, eps=1e-12)
        self.dense_to_output = nn.Linear(projection_size, projection_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, W) → (…, D), not of unit length."""
        return self.dense_to_output(self.LayerNorm(gelu(self.dense_to_hidden(hidden))))


class CxrBert(nn.Module):
    """The text model.

    Args:
        vocabulary_size: rows of the token embedding; at least the tokenizer's size.
        width, layers, heads, feed_forward: of BERT; the defaults are the published size.
        max_length: word pieces of a text, at most.
        projection_size: D.
        dropout: on hidden states and attention.
        pooling: which vector of a text is projected; ``cls`` as published.

    Attributes:
        config: the arguments, as plain values.
        tokenizer: the vocabulary, once ``set_tokenizer`` has given it.
    """

    def __init__(
        self,
        vocabulary_size: int = 30522,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        feed_forward: int = 3072,
        max_length: int = 512,
        projection_size: int = 128,
        dropout: float = 0.25,
        pooling: Pooling = "cls",
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        whole = BertForMaskedLM(
            BertConfig(
                vocab_size=vocabulary_size,
                hidden_size=width,
                num_hidden_layers=layers,
                num_attention_heads=heads,
                intermediate_size=feed_forward,
                max_position_embeddings=max_length,
                hidden_dropout_prob=dropout,
                attention_probs_dropout_prob=dropout,
            )
        )
        whole.bert.set_attn_implementation("eager")  # short texts on a CPU: half the time of the fused kernel under bfloat16
        self.bert, self.cls = whole.bert, whole.cls
        self.cls.predictions.decoder.weight = self.bert.embeddings.word_embeddings.weight
        self.cls.predictions.decoder.bias = self.cls.predictions.bias
        self.cls_projection_head = TextProjection(width, projection_size)
        self.max_length, self.pooling = max_length, pooling
        self.tokenizer: Tokenizer | None = None

    def set_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Give the model its vocabulary.

        Raises:
            ValueError: if the vocabulary is larger than the embedding.
        """
        self.tokenizer = fit_to_model(tokenizer, vocabulary_size=self.config["vocabulary_size"])

    def forward(self, token_ids: Tensor, attention_mask: Tensor, token_types: Tensor | None = None) -> Tensor:
        """Token ids and mask (1 for tokens, 0 for padding), both (N, T) → hidden states (N, T, W)."""
        return self.bert(input_ids=token_ids, attention_mask=attention_mask, token_type_ids=token_types).last_hidden_state

    def pool(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Hidden states (N, T, W) → one vector a text, (N, W)."""
        if self.pooling == "cls":
            return hidden[:, 0]
        weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weight).sum(dim=1) / weight.sum(dim=1)

    def project(self, hidden: Tensor) -> Tensor:
        """Hidden states (…, W), of texts or of tokens → the joint space (…, D), not of unit length."""
        return self.cls_projection_head(hidden)

    def predict_tokens(self, hidden: Tensor) -> Tensor:
        """Hidden states (…, W) → logits over the vocabulary (…, V)."""
        return self.cls(hidden)

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """N texts without their last full stop → token ids and attention mask, both (N, T), cut at ``max_length`` pieces.

        Raises:
            ValueError: if the model has no tokenizer.
        """
        if self.tokenizer is None:
            raise ValueError("the model has no tokenizer: call set_tokenizer first")
        device = self.cls.predictions.bias.device
        return token_batch(self.tokenizer, [_stripped(text) for text in texts], device, max_length=self.max_length)

    def embed_texts(self, texts: Sequence[str], *, truncate: bool = False, unit_length: bool = True) -> Tensor:
        """Embed N texts: (N, D).

        Args:
            texts: trailing ``.``, ``!`` and ``?`` do not count, as in the official engine.
            truncate: cut texts longer than ``max_length`` pieces instead of refusing them.
            unit_length: scale each embedding to length 1; prompt ensembles average them before that.

        Raises:
            ValueError: if the model has no tokenizer; if a text is empty, too long, or holds a special token other than [MASK].
        """
        if self.tokenizer is None:
            raise ValueError("the model has no tokenizer: call set_tokenizer first")
        for number, text in enumerate(texts, start=1):
            self._check(text, f"text {number} of {len(texts)}", truncate)
        ids, mask = self.tokenize(texts)
        projected = self.project(self.pool(self(ids, mask), mask)).float()
        return normalize(projected, dim=1) if unit_length else projected

    def _check(self, text: str, where: str, truncate: bool) -> None:
        if not _stripped(text):
            raise ValueError(f"{where} is empty")
        if found := [token for token in FORBIDDEN if token in text]:
            raise ValueError(f"{where} holds the special token {found[0]}; only [MASK] may stand in a text")
        assert self.tokenizer is not None
        if not truncate and (pieces := len(self.tokenizer.encode(_stripped(text)).ids)) > self.max_length:
            raise ValueError(f"{where} has {pieces} word pieces, the model reads {self.max_length}; shorten it, or cut it with truncate")


def _stripped(text: str) -> str:
    return re.sub(r"[!?.\s]+$", "", text).lstrip()
