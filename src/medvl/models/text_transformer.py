"""A small BERT-like text encoder (Devlin et al. 2019): the library's ``BertModel`` without its pooler, averaged over tokens."""

from __future__ import annotations

from torch import Tensor, nn
from transformers import BertConfig, BertModel


class SmallTextTransformer(nn.Module):
    """Encodes token ids to one vector per text.

    Args:
        vocabulary_size: rows of the token embedding; at least the tokenizer's size.
        width: hidden size.
        layers, heads: of the transformer.
        max_length: positions; longer texts must be cut before.
        dropout: on hidden states and attention.
    """

    def __init__(
        self,
        vocabulary_size: int,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        max_length: int = 160,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        config = BertConfig(
            vocab_size=vocabulary_size,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * width,
            max_position_embeddings=max_length,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
        self.bert = BertModel(config, add_pooling_layer=False)
        self.bert.set_attn_implementation("eager")  # short texts in bfloat16 on a CPU: half the time of the fused kernel
        self.width = width

    def forward(self, token_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(N, T) ids and mask (1 for tokens, 0 for padding) → (N, width), the mean over tokens."""
        hidden = self.bert(input_ids=token_ids, attention_mask=attention_mask).last_hidden_state  # (N, T, width)
        weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
