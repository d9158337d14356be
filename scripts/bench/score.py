"""RadFact of 10,000 studies with the rules judge: seconds from two lists of reports to figures with intervals.

    python scripts/bench/score.py [--studies 10000] [--phantom-seed 7]

Reports are the findings of as many studies of the phantom's world, in the training wording; the prediction of a study is the report of the
next one. Imports and the making of the reports are excluded; the judge starts with empty caches. Goal: under 60 s on two cores.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from itertools import count, islice

from medvl.benchmarks.report_metrics import RadFact
from medvl.benchmarks.report_scores import score
from medvl.data.report_samples import ReportSample
from medvl.judges.rules import RulesJudge
from medvl.phantom.reports import write_report
from medvl.phantom.world import sample_patient


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--phantom-seed", type=int, default=7)
    options = parser.parse_args()
    written = list(islice(reports(options.phantom_seed), options.studies))
    samples = [
        ReportSample(str(number), text, reference, patient, language="en", privacy="public")
        for number, ((patient, reference), (_, text)) in enumerate(zip(written, [*written[1:], written[0]], strict=True))
    ]
    words = sum(len(text.split()) for _, text in written) / len(written)
    print(f"{len(samples)} studies, {words:.0f} words a report, {len({text for _, text in written})} distinct reports")
    started, cpu = time.perf_counter(), time.process_time()
    result = score(samples, metrics={"radfact": RadFact()}, judge=RulesJudge())
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    questions = result.counts["num_llm_success"] + result.counts["num_llm_failures"]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"wall {wall:.1f} s, CPU {cpu:.1f} s, {questions:.0f} questions, {1e6 * cpu / questions:.0f} µs each, {memory:.2f} GiB")
    for name in ("logical_precision", "logical_recall", "logical_f1"):
        found = result.figures["radfact"][name]
        print(f"{name:<20}{found.value:.3f} [{found.ci_low:.3f}, {found.ci_high:.3f}]")


def reports(seed: int) -> Iterator[tuple[str, str]]:
    """Patient and findings of every study of training patients that has them."""
    for index in count():
        patient = sample_patient(index, seed=seed)
        for visit in patient.visits if patient.split == "train" else ():
            if text := write_report(patient, visit, seed=seed).sections["en"].get("findings"):
                yield patient.patient_id, text


if __name__ == "__main__":
    main()
