"""Part of the RadFact benchmark: one run of the official code, in its own environment and from its own checkout, reported as JSON.

Called by ``radfact.py``, which lays the checkout out (see ``official_checkout``). Imports are not timed; processor time is that of this
process and of the worker processes that it forks.
"""

from __future__ import annotations

import json
import resource
import sys
import time


def processor_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    from pathlib import Path

    import langchain_openai  # noqa: F401  imported here, so that its time is not counted
    from radfact.cli.run_radfact import get_candidates_and_references_from_json
    from radfact.metric.radfact import RadFactMetric

    candidates, references = get_candidates_and_references_from_json(Path(sys.argv[1]))
    began, processor = time.perf_counter(), processor_seconds()
    metric = RadFactMetric(nli_config_name="radfact_local.yaml", phrase_config_name="radfact_local.yaml")
    _, results = metric.compute_metric_score(candidates, references)
    found = {"seconds": time.perf_counter() - began, "processor_seconds": processor_seconds() - processor}
    print("RESULT " + json.dumps({**found, "results": {name: float(value) for name, value in results.items()}}))


if __name__ == "__main__":
    main()
