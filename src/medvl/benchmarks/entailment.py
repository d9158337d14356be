"""Three-class inference on RadNLI: CXR-BERT is fine-tuned on pairs of sentences, and classifies the test pairs.

The transfer of CXR-BERT (Boecking et al. 2022): learn from MedNLI, test on RadNLI. Without MedNLI the other splits of RadNLI are learnt
from, which is another protocol and says so. AdamW, a warm-up and half a cosine, cross-entropy over entailment, neutral and contradiction;
with validation pairs the epoch of the highest accuracy on them is kept, without them the last. Figures are means over several seeds,

    macro F1 = mean over classes of 2 TP / (2 TP + FP + FN)

with intervals over groups of test pairs that share a sentence. Test pairs that are also learnt from are taken out of learning. How long and
how fast it learns is ours.
"""

from __future__ import annotations

import copy
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from medvl.benchmarks.results import Evaluation, Roles, figure
from medvl.benchmarks.sentence_similarity import UnusablePairs, require_texts, same_sentence
from medvl.data.radnli import read_pairs
from medvl.metrics.bootstrap import Statistic, macro_of, mean_of, resample
from medvl.metrics.scores import f1_of
from medvl.metrics.threshold_accuracy import linked_groups
from medvl.models.cxr_bert import CxrBert
from medvl.models.entailment import RELATIONS, EntailmentClassifier, save_entailment
from medvl.records import SentencePair
from medvl.runtime.privacy import strictest
from medvl.training.optimizers import adamw_with_cosine


class LearningPairs(NamedTuple):
    """Pairs by what they are for; ``validation`` may be empty."""

    train: list[SentencePair]
    validation: list[SentencePair]
    test: list[SentencePair]


@dataclass(frozen=True)
class EntailmentFineTuning:
    """The protocol; ``evaluate`` runs it.

    Attributes:
        mednli: the folder of MedNLI, whose train and dev pairs are learnt from and validated on; ``None``: RadNLI's own train pairs, with
            dev for validation, or its dev pairs alone where there is no train split.
        epochs, batch_size, learning_rate, weight_decay: of AdamW; the rate at its peak.
        warmup: the share of steps in which the rate rises.
        dropout: before the head.
        seeds: one training each; of the head's weights, the order of the pairs and dropout.
        save: a folder for the trained model's classifier of the first seed, which ``judge=entailment`` takes; ``None`` keeps none.
        replicates, seed: of the bootstrap.
    """

    mednli: str | None = None
    epochs: int = 4
    batch_size: int = 32
    learning_rate: float = 2e-5
    weight_decay: float = 0.01
    warmup: float = 0.1
    dropout: float = 0.1
    seeds: Sequence[int] = (0, 1, 2)
    save: str | None = None
    replicates: int = 1000
    seed: int = 0
    source: Literal["radnli"] = "radnli"
    name: Literal["radnli_entailment"] = field(default="radnli_entailment", init=False)

    def evaluate(self, model: CxrBert, pairs: Sequence[SentencePair], *, untrained: CxrBert | None = None) -> Evaluation:
        """Fine-tune a text model, and an untrained one beside it, and measure both.

        Args:
            model: stays as it is; copies are trained.
            pairs: of RadNLI, with their split as ``subset``; the test pairs are measured.
            untrained: the same architecture before pre-training.

        Raises:
            UnusablePairs: if there is nothing to learn from or to test on, a relation is not among them, or a sentence is empty.
            MissingFile: if the folder of MedNLI has no such file.
        """
        parts, repeated = self.parts(pairs)
        models = {"trained": model} | ({"untrained": untrained} if untrained is not None else {})
        said: dict[str, list[NDArray[np.float32]]] = {}
        epochs: dict[str, list[int]] = {}
        for role, text in models.items():
            for seed in self.seeds:
                classifier, epoch = self.fine_tune(text, parts.train, parts.validation, seed=seed)
                said.setdefault(role, []).append(_probabilities(classifier, parts.test))
                epochs.setdefault(role, []).append(epoch)
                if self.save is not None and (role, seed) == ("trained", self.seeds[0]):
                    save_entailment(classifier, Path(self.save))
        metrics, per_relation = self._figures(said, parts.test)
        return Evaluation(
            benchmark=self.name,
            metrics=metrics,
            per_finding={f"{self.name}_f1": per_relation},
            protocol={**self._protocol(parts, repeated), "kept_epochs": epochs},
            tables={f"{self.name}_pairs": _table(self.seeds, said, parts.test)},
            privacy=strictest(pair.privacy for part in parts for pair in part),
        )

    def parts(self, pairs: Sequence[SentencePair]) -> tuple[LearningPairs, int]:
        """What is learnt from, validated on and tested on; and how many pairs of the first two were taken out for standing in the test.

        Raises:
            UnusablePairs, MissingFile: as ``evaluate``.
        """
        others = list(read_pairs(self.mednli)) if self.mednli else pairs
        train, validation = _of_split(others, "train"), _of_split(others, "dev")
        if not train:
            train, validation = validation, []
        test = _of_split(pairs, "test")
        tested = {_key(pair) for pair in test}
        parts = LearningPairs([p for p in train if _key(p) not in tested], [p for p in validation if _key(p) not in tested], test)
        for what, part in (("to learn from", parts.train), ("of the test split", parts.test)):
            if absent := [relation for relation in RELATIONS if not any(pair.relation == relation for pair in part)]:
                raise UnusablePairs(
                    f"{self.name}: none of the {len(part)} pairs {what} is {absent[0]!r}; give RadNLI's test and MedNLI's folder"
                )
        for part in parts:
            require_texts(part)
        return parts, len(train) + len(validation) - len(parts.train) - len(parts.validation)

    def fine_tune(
        self, text: CxrBert, train: Sequence[SentencePair], validation: Sequence[SentencePair] = (), *, seed: int
    ) -> tuple[EntailmentClassifier, int]:
        """A classifier in evaluation mode, learnt from some pairs, and the epoch it is of, from 1.

        Args:
            text: copied.
            train: at least one.
            validation: choose the epoch; the last is taken without them.
            seed: the same seed gives the same classifier on one device.
        """
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            device = next(text.parameters()).device
            classifier = EntailmentClassifier(copy.deepcopy(text), self.dropout).to(device)
            steps = self.epochs * -(-len(train) // self.batch_size)
            rates = {"learning_rate": self.learning_rate, "weight_decay": self.weight_decay}
            found = adamw_with_cosine(classifier.parameters(), **rates, warmup_steps=round(self.warmup * steps), steps=steps)
            optimizer, schedule = found["optimizer"], found["lr_scheduler"]["scheduler"]
            best, kept, state = -1.0, self.epochs, None
            for epoch in range(1, self.epochs + 1):
                classifier.train()
                for batch in self._batches(train, seed, epoch):
                    logits = classifier(*classifier.tokenize([(pair.text_1, pair.text_2) for pair in batch]))
                    loss = cross_entropy(logits.float(), torch.tensor(_relations(batch), device=device))
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()
                    schedule.step()
                if validation and (accuracy := _accuracy(classifier.eval(), validation)) > best:
                    best, kept, state = accuracy, epoch, copy.deepcopy(classifier.state_dict())
        if state is not None:
            classifier.load_state_dict(state)
        return classifier.eval(), kept

    def _batches(self, pairs: Sequence[SentencePair], seed: int, epoch: int) -> Iterator[list[SentencePair]]:
        order = np.random.default_rng([seed, epoch]).permutation(len(pairs))
        for start in range(0, len(pairs), self.batch_size):
            yield [pairs[i] for i in order[start : start + self.batch_size]]

    def _figures(
        self, said: dict[str, list[NDArray[np.float32]]], test: Sequence[SentencePair]
    ) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
        """The headline figures, and F1 by relation: each the mean over seeds."""
        truth = np.array(_relations(test))
        groups = linked_groups((same_sentence(pair.text_1), same_sentence(pair.text_2)) for pair in test)
        weights = resample(groups, replicates=self.replicates, seed=self.seed)
        answers = {role: [probabilities.argmax(axis=1) for probabilities in runs] for role, runs in said.items()}
        accuracy: Roles = {role: macro_of([mean_of(answer == truth) for answer in runs]) for role, runs in answers.items()}
        f1 = {
            relation: {role: macro_of([_f1(truth == c, answer == c) for answer in runs]) for role, runs in answers.items()}
            for c, relation in enumerate(RELATIONS)
        }
        macro: Roles = {role: macro_of([f1[relation][role] for relation in RELATIONS]) for role in answers}
        of_seeds = [float((answer == truth).mean()) for answer in answers["trained"]]
        spread = {"seeds": of_seeds, "sd_over_seeds": statistics.stdev(of_seeds) if len(of_seeds) > 1 else None}
        metrics = {
            f"{self.name}_accuracy": {**figure(accuracy, weights, n=len(test)), **spread},
            f"{self.name}_macro_f1": figure(macro, weights, n=len(test)),
        }
        per_relation = {relation: figure(roles, weights, n=int((truth == c).sum())) for c, (relation, roles) in enumerate(f1.items())}
        return metrics, per_relation

    def _protocol(self, parts: LearningPairs, repeated: int) -> dict[str, Any]:
        options = ("epochs", "batch_size", "learning_rate", "weight_decay", "warmup", "dropout", "replicates", "seed")
        counts = {name: dict(Counter(pair.relation for pair in part)) for name, part in parts._asdict().items()}
        test = counts["test"]
        return {
            **{name: getattr(self, name) for name in options},
            "seeds": list(self.seeds),
            "learnt_from": "mednli" if self.mednli else "radnli",
            "epoch_chosen_on": "validation accuracy" if parts.validation else "none: the last epoch",
            "pairs": counts,
            "learning_pairs_left_out_as_they_are_tested": repeated,
            "majority_share": max(test.values()) / len(parts.test),
        }


def _of_split(pairs: Sequence[SentencePair], split: str) -> list[SentencePair]:
    return [pair for pair in pairs if pair.subset == split and pair.relation in RELATIONS]


def _key(pair: SentencePair) -> tuple[str, str]:
    """The two sentences, in either order."""
    first, second = sorted((same_sentence(pair.text_1), same_sentence(pair.text_2)))
    return first, second


def _relations(pairs: Sequence[SentencePair]) -> list[int]:
    return [RELATIONS.index(pair.relation) for pair in pairs]


def _probabilities(classifier: EntailmentClassifier, pairs: Sequence[SentencePair]) -> NDArray[np.float32]:
    return classifier.probabilities([(pair.text_1, pair.text_2) for pair in pairs]).numpy()


def _accuracy(classifier: EntailmentClassifier, pairs: Sequence[SentencePair]) -> float:
    return float((_probabilities(classifier, pairs).argmax(axis=1) == np.array(_relations(pairs))).mean())


def _f1(true: NDArray[np.bool_], said: NDArray[np.bool_]) -> Statistic:
    """F1 of one class; undefined in a replicate that neither has it nor says it."""
    return f1_of(true & said, ~true & said, true & ~said, empty=float("nan"))


def _table(seeds: Sequence[int], said: dict[str, list[NDArray[np.float32]]], test: Sequence[SentencePair]) -> pd.DataFrame:
    """One row per model, seed and test pair: the pair, the probability of each relation, and the answer."""
    columns = ("pair_id", "relation", "text_1", "text_2")
    rows = pd.DataFrame({name: [getattr(pair, name) for pair in test] for name in columns})
    parts = [
        rows.assign(
            model=role,
            seed=seed,
            **{f"p_{relation}": probabilities[:, c] for c, relation in enumerate(RELATIONS)},
            answer=[RELATIONS[c] for c in probabilities.argmax(axis=1)],
        )
        for role, runs in said.items()
        for seed, probabilities in zip(seeds, runs, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)
