"""Text pre-training of CXR-BERT (Boecking et al., ECCV 2022): phases I and II; phase III is joint with images.

    I    masked language modelling of packed sentences, from random weights     ``section_matching_weight=0``
    II   radiology section matching and masked language modelling of reports    ``init_from=<phase I's model>``

Loss = section_matching_weight · matching + mlm_weight · masked language. Findings and Impression are read as two texts, each once: the
masked text serves both terms (ours: half the cost of reading it twice; matching learns to do without some words). Validation matches whole
texts. Masks are functions of (seed, epoch, sample id); over several processes the loss is that of the global batch.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import normalize

from medvl.data.module import RadiographDataModule
from medvl.data.samples import MATCHED_SECTIONS
from medvl.data.text_samples import PackedTextSamples, ReportTextSamples
from medvl.data.transforms import generator
from medvl.metrics.fertility import fertility
from medvl.models.checkpoints import TOKENIZER, load_cxr_bert, save_cxr_bert
from medvl.models.cxr_bert import CxrBert
from medvl.models.tokenizer import SPECIAL_TOKENS, read_vocabulary, token_batch, train_wordpiece
from medvl.objectives.masked_language import IGNORED, MaskedLanguageLoss, WordPieces, mask_words, masked_language_loss, word_pieces
from medvl.objectives.section_matching import matching_sections, section_matching_loss
from medvl.runtime.distributed import gather_texts, gather_with_gradient, rank, sum_over_ranks, world_size
from medvl.runtime.errors import InvalidValue, UserError
from medvl.runtime.files import write_text
from medvl.training.family import ModelTraining
from medvl.training.optimizers import adamw_with_cosine

Batch = dict[str, Any]
COUNTED_REPORTS = 10_000  # of the validation split, for the vocabulary's fertility


class CxrBertTraining(ModelTraining):
    """Wires text model, both objectives and AdamW with warm-up and cosine.

    Args:
        model: gets its vocabulary from ``prepare``.
        steps: length of the run, for the schedule.
        learning_rate, weight_decay, warmup_steps: of AdamW; biases and normalisations are not decayed.
        mask_share: of the words of a text.
        mlm_weight: of masked language modelling.
        section_matching_weight: of section matching, which needs samples with both sections; 0 is phase I.
        temperature: of section matching.
        seed: of every draw.
        vocabulary: a ``vocab.txt`` or ``tokenizer.json``; made of the training texts if not given.
        init_from: a text model to start from, an official folder or one of ours; its vocabulary comes along. Random weights if not given.

    Raises:
        UserError: if no term has a weight, or both a vocabulary and a model that brings its own are given.
    """

    def __init__(
        self,
        model: CxrBert,
        *,
        steps: int,
        learning_rate: float,
        weight_decay: float,
        warmup_steps: int,
        mask_share: float,
        mlm_weight: float,
        section_matching_weight: float,
        temperature: float,
        seed: int,
        vocabulary: str | None = None,
        init_from: str | None = None,
    ) -> None:
        super().__init__()
        if not (mlm_weight > 0 or section_matching_weight > 0):
            raise UserError("training.mlm_weight and training.section_matching_weight are both 0: there is nothing to learn")
        if vocabulary is not None and init_from is not None:
            raise UserError("training.init_from brings its vocabulary: leave training.vocabulary out")
        self.model, self.mask_share = model, mask_share
        self.steps, self.warmup_steps = steps, warmup_steps
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.mlm_weight, self.section_matching_weight, self.temperature = mlm_weight, section_matching_weight, temperature
        self.seed, self.vocabulary, self.init_from = seed, vocabulary, init_from
        self._pieces: WordPieces | None = None
        self._freeze_unused()

    def prepare(self, folder: Path, batches: RadiographDataModule) -> dict[str, Any]:
        """Take the weights to start from and the vocabulary; pack sentences where the samples are packed; count word pieces."""
        train, held_out = (_text_samples(batches, split) for split in (batches.train_split, batches.val_split))
        path = folder / TOKENIZER
        if self.init_from is not None:
            start = _load_weights(self.model, Path(self.init_from))
            if not path.exists():
                write_text(path, start.to_str())
        elif not path.exists():
            size = self.model.config["vocabulary_size"]
            made = train_wordpiece(train.texts(), size) if self.vocabulary is None else _given_vocabulary(Path(self.vocabulary))
            write_text(path, made.to_str())
        tokenizer = Tokenizer.from_file(str(path))
        self.set_tokenizer(tokenizer)
        counted = fertility(islice(held_out.texts(), COUNTED_REPORTS), lambda text: len(tokenizer.encode(text, add_special_tokens=False)))
        facts: dict[str, Any] = {"init_from": self.init_from, "vocabulary_size": tokenizer.get_vocab_size()}
        facts["fertility"] = {"reports": counted.reports, "pieces": counted.pieces, "words": counted.words}
        for split, samples in ((batches.train_split, train), (batches.val_split, held_out)):
            if isinstance(samples, PackedTextSamples):
                facts[f"packed_{split}"] = samples.pack(tokenizer, folder / "packed")
        return facts

    def set_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Give the model its vocabulary.

        Raises:
            UserError: if it is larger than the model's embedding.
        """
        try:
            self.model.set_tokenizer(tokenizer)
        except ValueError as error:
            raise UserError(f"{error}: set model.vocabulary_size") from error
        self._pieces = word_pieces(tokenizer)

    def export(self, folder: Path) -> None:
        """Write the model with its vocabulary."""
        if rank() == 0:
            save_cxr_bert(self.model, folder)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step's loss."""
        ids, mask = self._tokens(batch)
        terms: dict[str, Tensor] = {}
        if self.mlm_weight > 0:
            ids, targets = self._masked(batch, ids, epoch=int(batch["epoch"]))
        hidden = self.model(ids, mask)
        if self.mlm_weight > 0:
            terms["mlm_loss"] = self._language_loss(hidden, targets).loss
        if self.section_matching_weight > 0:
            terms["section_matching_loss"], _ = self._section_matching(batch, hidden, mask)
        loss = self._weighted(terms)
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()})
        self.log("train/loss", loss.detach(), prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The same terms on held-out texts with fixed masks, and how many masked pieces and sections are recognised."""
        ids, mask = self._tokens(batch)
        terms: dict[str, Tensor] = {}
        if self.mlm_weight > 0:
            shown, targets = self._masked(batch, ids, epoch=0)
            found = self._language_loss(self.model(shown, mask), targets)
            terms["mlm_loss"] = found.loss
            self.log("val/mlm_accuracy", found.correct / max(found.pieces, 1), batch_size=max(found.pieces, 1), sync_dist=True)
        if self.section_matching_weight > 0:
            terms["section_matching_loss"], recall = self._section_matching(batch, self.model(ids, mask), mask)
            terms["section_recall_at_1"] = recall
        terms["loss"] = self._weighted(terms)
        self.log_dict({f"val/{name}": value for name, value in terms.items()}, batch_size=len(batch["sample_id"]), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW and the step-wise schedule."""
        return adamw_with_cosine(
            self.parameters(),
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup_steps=self.warmup_steps,
            steps=self.steps,
        )

    def _weighted(self, terms: dict[str, Tensor]) -> Tensor:
        weights = {"mlm_loss": self.mlm_weight, "section_matching_loss": self.section_matching_weight}
        return torch.stack([weight * terms[name] for name, weight in weights.items() if name in terms]).sum()

    def _tokens(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Token ids and mask (N, T): of packed sequences, of N/2 findings and then N/2 impressions, or of whole texts."""
        tokenizer = self.model.tokenizer
        assert tokenizer is not None
        if "token_ids" in batch:
            ids = batch["token_ids"]
            mask = (ids != tokenizer.token_to_id("[PAD]")).long()
            longest = int(mask.sum(dim=1).max())
            return ids[:, :longest], mask[:, :longest]
        texts = batch["text"]
        if self.section_matching_weight > 0:
            texts = [text for name in MATCHED_SECTIONS for text in batch[name]]
            if not all(texts):
                raise UserError("section matching needs studies with findings and impression: set batches.samples.require=both")
        return token_batch(tokenizer, texts, self.device, max_length=self.model.max_length)

    def _masked(self, batch: Batch, ids: Tensor, *, epoch: int) -> tuple[Tensor, Tensor]:
        """What the model reads and the targets, both (N, T)."""
        assert self._pieces is not None
        names = MATCHED_SECTIONS if len(ids) > len(batch["sample_id"]) else ("text",)
        draws = [generator(self.seed, epoch, f"{sample}/{name}/masks") for name in names for sample in batch["sample_id"]]
        masked = mask_words(ids.cpu(), self._pieces, draws, share=self.mask_share)
        return masked.token_ids.to(ids.device), masked.targets.to(ids.device)

    def _language_loss(self, hidden: Tensor, targets: Tensor) -> MaskedLanguageLoss:
        total = sum_over_ranks((targets != IGNORED).sum().float()) / world_size()
        return masked_language_loss(hidden, targets, self.model.predict_tokens, total=total.clamp(min=1))

    def _section_matching(self, batch: Batch, hidden: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The loss over the sections of all processes, and the share of findings whose nearest impression is one that fits."""
        embeddings = normalize(self.model.project(self.model.pool(hidden, mask)).float(), dim=1)  # (2B, D)
        findings, impressions = (gather_with_gradient(half) for half in embeddings.chunk(2))
        matches = matching_sections(*(gather_texts(batch[name]) for name in MATCHED_SECTIONS)).to(findings.device)
        loss = section_matching_loss(findings, impressions, temperature=self.temperature, matches=matches)
        nearest = (findings.detach() @ impressions.detach().T).argmax(dim=1, keepdim=True)
        return loss, matches.gather(1, nearest).float().mean()

    def _freeze_unused(self) -> None:
        """What no term reaches gets no gradient, which several processes want said; the decoder is the word embedding itself."""
        predictions = self.model.cls.predictions
        unused = [*self.model.cls_projection_head.parameters()] if self.section_matching_weight == 0 else []
        unused += [*predictions.transform.parameters(), predictions.bias] if self.mlm_weight == 0 else []
        for parameter in unused:
            parameter.requires_grad_(False)


def _text_samples(batches: RadiographDataModule, split: str) -> ReportTextSamples | PackedTextSamples:
    samples: Any = batches.samples(split)
    if not isinstance(samples, (ReportTextSamples, PackedTextSamples)):
        raise UserError(f"batches.samples makes {type(samples).__name__}; text training needs ReportTextSamples or PackedTextSamples")
    return samples


def _given_vocabulary(path: Path) -> Tokenizer:
    if path.suffix != ".json" or not path.is_file():
        return read_vocabulary(path)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no narrower one
        raise InvalidValue(path, "document", f"is not a tokenizer ({error})") from error
    if absent := [token for token in SPECIAL_TOKENS if tokenizer.token_to_id(token) is None]:
        raise InvalidValue(path, "word pieces", f"no {absent[0]}")
    return tokenizer


def _load_weights(model: CxrBert, folder: Path) -> Tokenizer:
    """Start from another text model of the same sizes, and take its vocabulary."""
    start = load_cxr_bert(folder)
    try:
        model.load_state_dict(start.state_dict())
    except RuntimeError as error:
        raise InvalidValue(folder, "tensors", f"{str(error).splitlines()[-1].strip()}; give the model the same sizes") from error
    assert start.tokenizer is not None
    return start.tokenizer
