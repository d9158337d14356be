"""UniCL: contrastive learning in the space of images, texts and labels (Yang et al., CVPR 2022).

For unit vectors u_i (images) and v_j (texts) of B rows with labels y, temperature τ, and P(i) = {k : y_k = y_i}

    loss = ½ · mean_i [ -1/|P(i)| · Σ_{k∈P(i)} log softmax_k(u_i · v_k / τ) ] + ½ · mean_j [ the same, texts against images ]

A row of an image and its report has a label of its own; a row of an image and a class has the class as its label and a prompt as its text.
Where all labels differ this is CLIP's loss, which is why it is computed as InfoNCE with the target shared by equal labels.
"""

from __future__ import annotations

from torch import Tensor

from medvl.objectives.contrastive import info_nce
from medvl.runtime.distributed import gather_texts, gather_with_gradient


def unicl_loss(images: Tensor, texts: Tensor, labels: list[str], *, temperature: Tensor | float, gather: bool = False) -> Tensor:
    """The mean of both directions.

    Args:
        images: (B, D), of unit length.
        texts: (B, D), of unit length, row by row those of the images.
        labels: B; rows of the same label are each other's positives.
        temperature: positive scalar.
        gather: take the rows of all processes, of equal B, with gradients; every process then returns the loss of the whole.

    Returns:
        Scalar float32.

    Raises:
        ValueError: if the three do not have the same number of rows.
    """
    if not len(images) == len(texts) == len(labels):
        raise ValueError(f"UniCL needs an image, a text and a label in each row, got {len(images)}, {len(texts)} and {len(labels)}")
    if gather:
        images, texts, labels = gather_with_gradient(images), gather_with_gradient(texts), gather_texts(labels)
    return info_nce(images @ texts.T, temperature=temperature, texts=labels)
