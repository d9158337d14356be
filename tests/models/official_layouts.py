"""The state dicts of hi-ml-multimodal 0.2.2, as rules: every tensor's name, shape and type; and files of that layout, weights invented."""

import json

import torch
from deterministic_weights import deterministic_state, shapes_of
from torchvision.models import resnet50

TINY_BERT = {
    "vocab_size": 40,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "max_position_embeddings": 24,
    "projection_size": 16,
    "hidden_dropout_prob": 0.25,
}
PUBLISHED_BERT = TINY_BERT | {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "projection_size": 128,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "!", "?", ",", "no", "there", "is", "left", "right", "basilar", "acute"]
WORDS += ["consolidation", "seen", "pneumonia", "evidence", "of", "opacity", "find", "##ings", "consistent", "with"]


def biovil_shapes():
    """``ImageModel("resnet50", 128)``."""
    return trunk() | projector(2048)


def biovil_t_shapes():
    """``MultiImageModel(img_encoder_type="resnet50_multi_image", joint_feature_size=128)``."""
    width, pooler = 256, "encoder.vit_pooler."
    found = trunk() | projector(2 * width)
    found |= floats("encoder.", {"missing_previous_emb": (1, width, 1, 1), "backbone_to_vit.weight": (width, 2048, 1, 1)})
    found |= floats(pooler, {"type_embed": (2, 1, width)}) | affine(pooler + "norm_post", width)
    for block in (f"{pooler}blocks.{number}." for number in range(3)):
        found |= floats(block, {f"attn.proj_{part}.weight": (width, width) for part in "qkv"})
        for layer in ("attn.proj", "mlp.fc1", "mlp.fc2"):
            found |= linear(block + layer, width, width)
        found |= affine(block + "norm1", width) | affine(block + "norm2", width)
    return found


def cxr_bert_shapes(config=PUBLISHED_BERT):
    """``CXRBertModel(CXRBertConfig(...))``."""
    size, width, wide, joint = (config[k] for k in ("vocab_size", "hidden_size", "intermediate_size", "projection_size"))
    rows = {"word": size, "position": config["max_position_embeddings"], "token_type": 2}
    found = floats("bert.embeddings.", {f"{kind}_embeddings.weight": (count, width) for kind, count in rows.items()})
    found |= affine("bert.embeddings.LayerNorm", width)
    for layer in (f"bert.encoder.layer.{number}." for number in range(config["num_hidden_layers"])):
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            found |= linear(f"{layer}attention.{part}", width, width)
        found |= linear(layer + "intermediate.dense", wide, width) | linear(layer + "output.dense", width, wide)
        found |= affine(layer + "attention.output.LayerNorm", width) | affine(layer + "output.LayerNorm", width)
    head = "cls.predictions."
    found |= linear(head + "transform.dense", width, width) | affine(head + "transform.LayerNorm", width)
    found |= linear(head + "decoder", size, width) | floats(head, {"bias": (size,)})
    head = "cls_projection_head."
    found |= linear(head + "dense_to_hidden", joint, width) | affine(head + "LayerNorm", joint)
    return found | linear(head + "dense_to_output", joint, joint)


def trunk():
    with torch.device("meta"):
        state = resnet50().state_dict()
    return {f"encoder.encoder.{name}": value for name, value in shapes_of(state).items()}


def projector(inputs, outputs=128):
    convolutions = {"0.weight": (outputs, inputs, 1, 1), "3.weight": (outputs, outputs, 1, 1), "3.bias": (outputs,)}
    statistics = {"1.running_mean": (outputs,), "1.running_var": (outputs,)}
    counter = {"projector.model.1.num_batches_tracked": ((), torch.int64)}
    return floats("projector.model.", convolutions | statistics) | affine("projector.model.1", outputs) | counter


def linear(name, outputs, inputs):
    return floats(f"{name}.", {"weight": (outputs, inputs), "bias": (outputs,)})


def affine(name, size):
    return floats(f"{name}.", {"weight": (size,), "bias": (size,)})


def floats(prefix, shapes):
    return {prefix + name: (shape, torch.float32) for name, shape in shapes.items()}


def text_state(config):
    """Invented weights of a text model, tied ones equal."""
    state = deterministic_state(cxr_bert_shapes(config))
    state["cls.predictions.decoder.weight"] = state["bert.embeddings.word_embeddings.weight"]
    state["cls.predictions.decoder.bias"] = state["cls.predictions.bias"]
    return state


def write_text_folder(folder, config, state):
    """``pytorch_model.bin``, ``config.json`` and ``vocab.txt`` as the hub has them."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "cxr-bert"}))
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder
