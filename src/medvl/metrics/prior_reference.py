"""Prior-reference rate: how many reports speak of an earlier study, and how many do so without having been shown one.

A report generator trained on reports with priors claims change even where it sees a single image. The cues are words of comparison
(compared, previous, interval, again), of persistence (unchanged, stable) and of change (new, increased, resolved). Negation-aware: a
denied change word ("no increased markings") claims nothing, while "no change" and "no new effusion" still refer to an earlier study, and
"no prior studies are available" does not. The cue list and these rules are ours; English and Spanish.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from medvl.metrics.bootstrap import Statistic, mean_of
from medvl.metrics.scores import Columns, Scores, paired, scores

Language = Literal["en", "es"]

# What says that there is no earlier study, cut out with the rest of its clause before anything else is read.
_NO_PRIOR = {
    "en": re.compile(
        r"\b(?:(?:no|without|lack of|absence of)\s+(?:(?:any|other|relevant|available|recent|known|direct|dedicated|immediate)\s+)*"
        r"(?:priors?|previous|comparisons?|earlier|(?:stud(?:y|ies)|images?|films?|exam\w*|radiographs?)\b[^.;]{0,30}\bcompar\w+)"
        r"|comparison:? none)\b[^.;]*"
    ),
    "es": re.compile(
        r"\b(?:no (?:(?:se )?(?:dispone(?:mos)? de|hay|existen?|tenemos) )?|sin )(?:(?:estudios?|radiograf[ií]as?|pruebas?|im[aá]genes) )?"
        r"(?:previ[oa]s?|anterior(?:es)?|comparaci[oó]n|comparar)\b[^.;]*"
    ),
}
_REFERENCE = {
    "en": re.compile(
        r"\b(?:compar(?:ed|ison|ing)|prior|previous(?:ly)?|earlier|interval(?:ly)?|again|since|unchanged|unaltered|no (?:\w+ ){0,2}changes?"
        r"|no longer|not (?:\w+ )?changed|new(?:ly)?|stable|persist(?:s|ed|ent|ently|ing|ence)?|remain(?:s|ed|ing)?|redemonstrat\w+"
        r"|re-?demonstrat\w+|in the interim|as before|at baseline)\b"
    ),
    "es": re.compile(
        r"\b(?:compar\w+|previ[oa]s?|previamente|anterior(?:es|mente)?|intervalo|de nuevo|nuevamente|nuev[oa]s?|sin cambios|no cambios"
        r"|sin (?:\w+ ){0,2}cambios|estables?|persist\w+|permanec\w+|contin[uú]a\w*|ya conocid[oa]s?|respecto a(?:l)?)\b"
    ),
}
_CHANGE = {
    "en": re.compile(
        r"\b(?:increas(?:e|es|ed|ing)|decreas(?:e|es|ed|ing)|improv(?:e|es|ed|ing|ement)|worsen(?:s|ed|ing)?|worse|resol(?:ved|ving|ution)"
        r"|progress(?:ed|ing|ion|ive)|enlarging|larger|smaller|clear(?:ed|ing)|regress(?:ed|ion)|advanced|withdrawn|retracted|repositioned)\b"
    ),
    "es": re.compile(
        r"\b(?:aument(?:o|ó|ado|ada)s?|dismin(?:uci[oó]n|uy[oó]|uido|uida)|mejor(?:a|ó|ía|ado|ada)|empeor\w+|resuelt[oa]s?|resoluci[oó]n"
        r"|progresi[oó]n|progresad[oa]|mayor que|menor que)\b"
    ),
}
_DENIED = {
    "en": re.compile(r"\b(?:no|not|without|neither|nor|denies)\b(?:\W+\w+){0,3}\W*$"),
    "es": re.compile(r"\b(?:no|sin|ni|tampoco)\b(?:\W+\w+){0,3}\W*$"),
}


def prior_reference(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    has_prior: Sequence[bool] | None = None,
    language: Language = "en",
) -> Scores:
    """How often predictions refer to an earlier study, with the references' own rate beside it.

    Example: "Unchanged effusion.", "No effusion.", "No prior studies. Clear lungs.": one of three.

    Args:
        predictions, references: N reports each.
        has_prior: (N,) whether the model was shown an earlier study or its report; splits the rate.
        language: of the reports.

    Returns:
        ``prior_reference_rate``, ``prior_reference_rate_of_references``; with ``has_prior`` also ``…_without_prior`` (hallucinated, 0 is
        right) and ``…_with_prior``. Lower is better only for the rate without a prior.

    Raises:
        ValueError: if the lists differ in length or are empty.
    """
    count = paired("prior_reference", predictions, references)
    if has_prior is not None and len(has_prior) != count:
        raise ValueError(f"has_prior needs {count} values, got {len(has_prior)}")
    per_sample = {
        "prior_reference_rate": [refers_to_prior(text, language=language) for text in predictions],
        "prior_reference_rate_of_references": [refers_to_prior(text, language=language) for text in references],
    }
    shown = {} if has_prior is None else {"has_prior": np.asarray(has_prior, np.float64)}
    protocol = {"version": 1, "language": language, "split_by_prior": has_prior is not None}
    hallucinated = frozenset(["prior_reference_rate_without_prior"])
    return scores("prior_reference", per_sample, protocol, counts=shown, aggregate=rates, lower_is_better=hallucinated)


def rates(columns: Columns, protocol: Mapping[str, Any]) -> dict[str, Statistic]:
    """The rates over all reports and, where it is known, over those without and with a prior."""
    said = columns["prior_reference_rate"]
    statistics = {name: mean_of(columns[name]) for name in ("prior_reference_rate", "prior_reference_rate_of_references")}
    if protocol["split_by_prior"]:
        shown = columns["has_prior"] > 0
        statistics["prior_reference_rate_without_prior"] = mean_of(np.where(shown, math.nan, said))
        statistics["prior_reference_rate_with_prior"] = mean_of(np.where(shown, said, math.nan))
    return statistics


def refers_to_prior(text: str, *, language: Language = "en") -> bool:
    """Whether a report refers to an earlier study."""
    read = _NO_PRIOR[language].sub(" ", " ".join(text.lower().split()))
    if _REFERENCE[language].search(read):
        return True
    return any(not _DENIED[language].search(_clause_before(read, cue.start())) for cue in _CHANGE[language].finditer(read))


def _clause_before(text: str, at: int) -> str:
    return re.split(r"[.;:,]", text[:at])[-1]
