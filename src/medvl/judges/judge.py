"""What a judge of text is asked, what it answers, and the protocol that every judge follows.

Two questions, both of RadFact (Bannur et al. 2024): split a report into phrases that each state one thing, and say whether one
phrase follows from a list of phrases. An answer keeps what the judge replied, word for word; what to make of a reply that breaks the
rules (evidence that nobody wrote, a rewritten phrase) is the metric's to decide and to count.

A judge that is a language model also answers prompts of a metric's own (``ChatJudge``): GREEN's and CheXprompt's counts of errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from medvl.records import PrivacyPolicy
from medvl.runtime.errors import UserError

Status = Literal["entailment", "not_entailment"]


@dataclass(frozen=True, slots=True)
class EntailmentQuery:
    """Does ``hypothesis`` follow from ``reference``, the phrases of the other report in their order?"""

    reference: tuple[str, ...]
    hypothesis: str
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer to an ``EntailmentQuery``.

    Attributes:
        status: ``not_entailment`` where the judge failed.
        evidence: phrases of the reference, as the judge replied them.
        reply_phrase: the hypothesis as the judge repeated it, where it is not word for word the same; ``None`` otherwise.
        failure: why there is no usable answer (``unparseable``, ``endpoint``, ``no_evidence``, …); ``None`` where there is one.
        explanation: why, in the judge's words or rules; may be empty.
    """

    status: Status
    evidence: tuple[str, ...] = ()
    reply_phrase: str | None = None
    failure: str | None = None
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class SplitSentence:
    """One sentence of a report and the phrases that it became; none where it states no finding."""

    orig: str
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SplitReport:
    """An answer to "split this report into phrases"; ``failure`` says why there is none."""

    sentences: tuple[SplitSentence, ...] = ()
    failure: str | None = None

    @property
    def phrases(self) -> tuple[str, ...]:
        """All phrases of all sentences, in order; empty ones are left out."""
        return tuple(phrase for sentence in self.sentences for phrase in sentence.new if phrase)


@runtime_checkable
class Judge(Protocol):
    """What every judge can do. Answers come in the order of the questions, one for each.

    Attributes:
        name: what results call it, e.g. ``rules`` or ``endpoint:llama-3-70b``.
        prompt_hash: SHA-256 of everything that shapes its answers beside the question; for rules, of their tables.
    """

    name: str
    prompt_hash: str

    def admit(self, policy: PrivacyPolicy, *, dataset: str) -> None:
        """Check, before anything is sent, that texts under ``policy`` may reach this judge.

        Raises:
            PrivacyError: naming the dataset, the judge and the switch that allows it.
        """

    def entail(self, queries: Sequence[EntailmentQuery]) -> list[Verdict]:
        """One verdict per query."""

    def split(self, reports: Sequence[str], *, language: str = "en") -> list[SplitReport]:
        """One split report per report."""


@runtime_checkable
class ChatJudge(Judge, Protocol):
    """A judge that is a language model and can be asked anything."""

    def ask(self, prompts: Sequence[str], *, usable: Callable[[str], bool] | None = None) -> list[str | None]:
        """One reply per prompt, word for word; equal prompts are asked once.

        Args:
            prompts: each the one message of a user.
            usable: whether a reply can be used; one that cannot is complained of and asked again, as often as the judge retries. The last
                one is then returned as it is. Every reply is usable by default.

        Returns:
            ``None`` where there is no reply at all.
        """


class CannotChat(UserError):
    """A metric has a prompt of its own, and the judge is no language model."""

    def __init__(self, judge: str) -> None:
        super().__init__(
            f"the judge {judge!r} is no language model and answers no prompts: give judge=endpoint or judge=local, "
            'or judge=recorded with a table that has "chat" entries'
        )
