"""METEOR: unigram matching with stems, precision, recall and a penalty for order. Two implementations that do not give the same number.

    score = (1 − γ · (chunks / m)^β) · P · R / (α · P + (1 − α) · R)

``exact_stem`` (pure Python) is the 2005 metric (Banerjee and Lavie; α = 0.9, β = 3, γ = 0.5) over exact words and Porter stems, aligned as
NLTK aligns them, and equal to NLTK's value where WordNet knows no synonym. It is no paper's figure: Hugging Face's ``evaluate`` (Libra)
adds WordNet, and the COCO evaluation (R2Gen and its descendants) runs METEOR 1.5 with paraphrases, function words and tuned weights.
``java`` runs that METEOR 1.5, the jar of ``pycocoevalcap``, and is equal to the papers' for the same tokens; its corpus value is METEOR's
own, of summed statistics, so that only the mean of the reports can be resampled.
"""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import IO, Literal

from medvl.metrics.scores import Scores, paired, scores
from medvl.metrics.text.porter import stem
from medvl.metrics.text.tokenizers import Tokenizer, java_resource, tokenize, tokenizer_name
from medvl.runtime.errors import UserError

ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5
Numbered = list[tuple[int, str]]


def meteor(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    tokenizer: Tokenizer = "whitespace",
    implementation: Literal["exact_stem", "java"] = "exact_stem",
) -> Scores:
    """METEOR of predictions against one reference each.

    Example (``exact_stem``): "small effusions seen" against "small effusion": both words match, one by its stem, in one chunk; P = 2/3,
    R = 1, F = (2/3) / (0.9 · 2/3 + 0.1) = 20/21, penalty 0.5 · (1/2)³ = 1/16: 0.892857.

    Args:
        predictions, references: N reports each.
        tokenizer: a name of ``tokenizers.py`` or a function; words are then lower-cased.
        implementation: see above.

    Returns:
        ``meteor`` in [0, 1]; the corpus value is the mean. With ``java`` the protocol holds METEOR's own corpus value beside it.

    Raises:
        ValueError: if the lists differ in length or are empty.
        UserError: if Java or the jar is asked for and absent.
    """
    paired("meteor", predictions, references)
    said, wanted = tokenize(predictions, tokenizer), tokenize(references, tokenizer)
    protocol = {"version": 1, "implementation": implementation, "tokenizer": tokenizer_name(tokenizer)}
    if implementation == "java":
        values, corpus = _meteor_1_5([" ".join(words) for words in said], [" ".join(words) for words in wanted])
        return scores("meteor", {"meteor": values}, {**protocol, "corpus_of_summed_statistics": corpus})
    return scores("meteor", {"meteor": [_exact_stem(p, r) for p, r in zip(said, wanted, strict=True)]}, protocol)


def _exact_stem(prediction: list[str], reference: list[str]) -> float:
    said = [(i, word.lower()) for i, word in enumerate(prediction)]
    wanted = [(i, word.lower()) for i, word in enumerate(reference)]
    exact = _matched(said, wanted)
    stems = _matched([(i, stem(word)) for i, word in said], [(i, stem(word)) for i, word in wanted])
    pairs = sorted(exact + stems)
    if not pairs:
        return 0.0
    precision, recall = len(pairs) / len(prediction), len(pairs) / len(reference)
    chunks = 1 + sum((b[0] - a[0], b[1] - a[1]) != (1, 1) for a, b in pairwise(pairs))
    penalty = GAMMA * (chunks / len(pairs)) ** BETA
    return (1 - penalty) * precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)


def _matched(said: Numbered, wanted: Numbered) -> list[tuple[int, int]]:
    """Pairs of equal words, from the last to the first, each with the last free one of the reference; both lists lose what is matched."""
    places: dict[str, list[int]] = defaultdict(list)
    for at, (_, word) in enumerate(wanted):
        places[word].append(at)
    used = [(i, places[said[i][1]].pop()) for i in reversed(range(len(said))) if places.get(said[i][1])]
    pairs = [(said[i][0], wanted[j][0]) for i, j in used]
    gone, taken = {i for i, _ in used}, {j for _, j in used}
    said[:] = [item for i, item in enumerate(said) if i not in gone]
    wanted[:] = [item for j, item in enumerate(wanted) if j not in taken]
    return pairs


def _meteor_1_5(predictions: list[str], references: list[str]) -> tuple[list[float], float]:
    """Each pair's score and the corpus score of summed statistics, from the jar in its line protocol."""
    jar = java_resource("meteor/meteor-1.5.jar")
    command = ["java", "-jar", "-Xmx2G", jar.name, "-", "-", "-stdio", "-l", "en", "-norm"]
    with subprocess.Popen(
        command, cwd=jar.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            statistics = [
                _asked(process.stdin, process.stdout, f"SCORE ||| {reference} ||| {prediction.replace('|||', '').replace('  ', ' ')}")
                for prediction, reference in zip(predictions, references, strict=True)
            ]
            first = _asked(process.stdin, process.stdout, " ||| ".join(["EVAL", *statistics]))
            rest = [process.stdout.readline() for _ in statistics]
            values = [float(line) for line in (first, *rest)]
        except (BrokenPipeError, ValueError) as error:
            raise UserError("METEOR's jar stopped without an answer; it needs Java with 2 GB of memory") from error
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.kill()
    return values[:-1], values[-1]


def _asked(questions: IO[str], answers: IO[str], line: str) -> str:
    questions.write(f"{line}\n")
    questions.flush()
    return answers.readline().strip()
