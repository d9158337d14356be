"""Seconds to score 10,000 studies with RadFact and the rules judge: reports of the phantom, each against that of another study.

    python scripts/bench/rules_judge.py [--studies 10000] [--language en]

Reports are written beforehand and not timed; the judge starts with nothing kept in memory, in one process.
"""

from __future__ import annotations

import argparse
import time
from itertools import count, islice

from medvl.judges.rules import RulesJudge
from medvl.metrics.radfact import RadFactMetric
from medvl.phantom.reports import write_report
from medvl.phantom.world import sample_patient


def main() -> None:
    parser = argparse.ArgumentParser(description="seconds to score studies with RadFact and the rules judge")
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--language", choices=("en", "es"), default="en")
    options = parser.parse_args()
    patients = (sample_patient(index, seed=0) for index in count())
    written = (write_report(patient, visit, seed=0).sections[options.language] for patient in patients for visit in patient.visits)
    told = (sections.get("findings") or sections.get("impression") for sections in written)
    texts = list(islice(filter(None, told), options.studies + 1))
    references = {str(number): text for number, text in enumerate(texts[:-1])}
    candidates = {str(number): text for number, text in enumerate(texts[1:])}

    began, processor = time.perf_counter(), time.process_time()
    metric = RadFactMetric(RulesJudge(), language=options.language, privacy="public", dataset="phantom")
    score, results = metric.compute_metric_score(candidates, references)
    wall, cpu = time.perf_counter() - began, time.process_time() - processor

    phrases = options.studies * (results["num_candidate_phrases"] + results["num_reference_phrases"])
    print(f"{options.studies} studies, {phrases:.0f} phrases judged: {wall:.1f} s, {cpu:.1f} s of one processor; logical F1 {score:.3f}")


if __name__ == "__main__":
    main()
