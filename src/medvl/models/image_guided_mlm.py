"""Image-guided masked language modelling: masked words are filled in with the film in view (BioViL-T, Bannur et al., CVPR 2023).

Hidden states of a masked text attend to the projected patches of its study's film, which then must say what the words left do not:

    x ← x + CrossAttention(norm(x), patches)        x ← x + MLP(norm(x))        per block; hidden states = norm(x)

What comes out goes where the text model's own hidden states go, into ``CxrBert.predict_tokens``. The paper has cross-attention within the
text encoder; the released text model has no weights for it, and neither an embedding nor a phrase's map needs it. So it is a module of its
own here, above the text model: present in training, where its gradients reach both encoders, and discarded after.
"""

from __future__ import annotations

from torch import Tensor, nn

from medvl.models.attention import attend


class CrossAttention(nn.Module):
    """Multi-head attention of N × T queries to the P patches of N films."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, patches: Tensor) -> Tensor:
        """Queries (N, T, W), patches (N, P, W) → (N, T, W)."""
        query = self.query(x).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (N, heads, T, W / heads)
        key, value = self.key_value(patches).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (N, heads, P, W / heads) each
        attended = attend(query, key, value, self.dropout if self.training else 0.0)
        return self.output(attended.transpose(1, 2).flatten(2))


class CrossAttentionBlock(nn.Module):
    """Cross-attention and MLP, each behind a norm and beside a residual."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = CrossAttention(width, heads, dropout)
        self.mlp = nn.Sequential(nn.Linear(width, feed_forward), nn.GELU(), nn.Linear(feed_forward, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, patches: Tensor) -> Tensor:
        """Hidden states (N, T, W), patches (N, P, W) → (N, T, W)."""
        x = x + self.drop(self.attention(self.norm1(x), patches))
        return x + self.drop(self.mlp(self.norm2(x)))


class ImageGuidedPredictor(nn.Module):
    """Lets the hidden states of a text look at a film.

    Args:
        projection_size: D, of the projected patches.
        width: W, of the text model's hidden states; a multiple of ``heads``.
        heads, layers: of the cross-attention.
        feed_forward: hidden width of the MLPs; four times ``width`` if not given.
        dropout: on attention and both branches.
    """

    def __init__(
        self,
        projection_size: int = 128,
        width: int = 768,
        heads: int = 12,
        layers: int = 1,
        feed_forward: int | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"the width {width} is not a multiple of {heads} heads")
        self.patch_projection, self.patch_norm = nn.Linear(projection_size, width), nn.LayerNorm(width)
        hidden = 4 * width if feed_forward is None else feed_forward
        self.blocks = nn.ModuleList(CrossAttentionBlock(width, heads, hidden, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.apply(_bert_weights)

    def forward(self, hidden: Tensor, patches: Tensor) -> Tensor:
        """Hidden states of masked texts with the film in view.

        Args:
            hidden: (N, T, W), of the text model; tokens do not see each other here, so padding needs no mask.
            patches: (N, D, h, w), projected, each row of the study of the text in that row; of unit length or not.

        Returns:
            (N, T, W), for ``CxrBert.predict_tokens``.

        Raises:
            ValueError: if there is not one film for each text, or the sizes are not those of this module.
        """
        width, size = self.patch_projection.out_features, self.patch_projection.in_features
        if hidden.dim() != 3 or patches.dim() != 4 or len(hidden) != len(patches) or hidden.shape[2] != width or patches.shape[1] != size:
            found = f"{tuple(hidden.shape)} and {tuple(patches.shape)}"
            raise ValueError(f"needs hidden states (N, T, {width}) and as many films' patches (N, {size}, h, w), got {found}")
        seen = self.patch_norm(self.patch_projection(patches.flatten(2).transpose(1, 2)))  # (N, P, W)
        for block in self.blocks:
            hidden = block(hidden, seen)
        return self.norm(hidden)


def _bert_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
