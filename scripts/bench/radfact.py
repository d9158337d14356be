"""RadFact, ours against the official code: the same studies, the same loopback endpoint of fixed latency, the same answers.

    python scripts/bench/radfact.py --radfact CHECKOUT --python PYTHON [--latency 0.2] [--concurrency 10 64] [--rounds 1]

CHECKOUT is microsoft/RadFact at 72463ac; PYTHON is that of an environment with its dependencies (hydra-core 1.3.2, langchain 0.2.17,
langchain-community 0.2.19, langchain-openai 0.1.25, openai 1.55.0, pydantic 1.10.17, httpx < 0.28, redis, numpy, pandas, tqdm). Its files
run unchanged, from a temporary copy with three configurations more and with empty stand-ins for the Azure packages that it imports and a
plain endpoint never uses. The two run by turns, each in a process of its own, imports excluded. Without CHECKOUT only ours is measured,
on invented studies. What follows each pair: ours again from the cache, and ours with 5 % malformed, refused and invented answers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SHOWN = ("logical_precision", "logical_recall", "logical_f1", "spatial_f1", "grounding_f1", "num_samples", "num_llm_failures")

STAND_INS = {
    "azureml/_restclient/models/error_response.py": "class ErrorResponseException(Exception): ...",
    "azure/identity.py": "class AzureCliCredential: ...\nclass DefaultAzureCredential: ...",
    "azure/core/credentials.py": "class TokenCredential: ...",
    "azure/core/pipeline/__init__.py": "from typing import Generic, TypeVar\nT = TypeVar('T')\nU = TypeVar('U')\n"
    "class PipelineRequest(Generic[T]): ...\nclass PipelineContext: ...",
    "azure/core/pipeline/policies.py": "class BearerTokenCredentialPolicy: ...",
    "azure/core/rest.py": "class HttpRequest: ...",
    "health_azure.py": "def get_workspace(*_, **__): raise NotImplementedError",
}


def main() -> None:
    parser = argparse.ArgumentParser(description="RadFact, ours against the official code, on a loopback endpoint")
    parser.add_argument("--radfact", type=Path, help="a checkout of microsoft/RadFact; without it only ours is measured")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of an environment that the official code runs in")
    parser.add_argument("--latency", type=float, default=0.2, help="seconds per call")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[10, 64])
    parser.add_argument("--rounds", type=int, default=1, help="how often the two alternate")
    parser.add_argument("--one", nargs=4, metavar=("SAMPLES", "URL", "CONCURRENCY", "CACHE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return run_ours(*options.one)
    with tempfile.TemporaryDirectory() as folder:
        compare(options, Path(folder))


def compare(options: argparse.Namespace, folder: Path) -> None:
    """All runs, one line each."""
    samples = folder / "samples.json"
    if options.radfact:
        shutil.copy(options.radfact / "examples" / "grounded_reporting_examples.json", samples)
        checkout = official_checkout(options.radfact, folder)
    else:
        samples.write_text(json.dumps(invented_samples(20)))
    print(f"{'':34}{'wall s':>9}{'CPU s':>9}{'calls':>7}{'at once':>9}{'CPU/call ms':>13}{'MB sent':>9}")
    for concurrency in options.concurrency:
        for number in range(options.rounds):
            cache = str(folder / f"cache-{concurrency}-{number}.sqlite")
            with fake_endpoint("--latency", str(options.latency)) as url:
                theirs = None
                if options.radfact:
                    theirs = measured(
                        f"official, concurrency {concurrency}", url, partial(official, options, checkout, samples, url, concurrency)
                    )
                run = partial(ours, samples, url, concurrency, cache)
                mine = measured(f"ours, concurrency {concurrency}", url, run)
                compare_results(theirs, mine, measured("ours again, from the cache", url, run))
    for kind in ("malformed", "refused", "invented"):
        with fake_endpoint("--latency", str(options.latency), f"--{kind}", "0.05") as url:
            broken = measured(f"ours, 5 % {kind}", url, partial(ours, samples, url, options.concurrency[-1], ""))
            lost = [f"{name} {broken['results'][name]:g}" for name in ("num_samples", "num_invalid_processed_samples", "num_llm_failures")]
            print(f"{'':34}{', '.join(lost)}; same scores: {same(broken, mine)}")


def measured(name: str, url: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """One run and the line that tells of it."""
    call(url, "reset")
    found = run()
    counters = call(url, "counters")
    calls = counters.get("calls", 0)
    per_call = f"{1000 * found['processor_seconds'] / calls:13.2f}" if calls else f"{'-':>13}"
    seen = f"{calls:7d}{counters.get('most_at_once', 0):9d}{per_call}{counters.get('bytes', 0) / 1e6:9.2f}"
    print(f"{name:34}{found['seconds']:9.2f}{found['processor_seconds']:9.2f}{seen}", flush=True)
    return {**found, "calls": calls}


def compare_results(theirs: dict[str, Any] | None, mine: dict[str, Any], again: dict[str, Any]) -> None:
    """Speed-ups, and whether all scores agree."""
    if theirs:
        wall = theirs["seconds"] / mine["seconds"]
        processor = theirs["processor_seconds"] / theirs["calls"] / (mine["processor_seconds"] / mine["calls"])
        print(f"{'':34}wall {wall:.1f} x, CPU per call {processor:.0f} x; same scores: {same(theirs, mine)}")
    print(f"{'':34}from the cache: {again['seconds']:.2f} s, same scores: {same(mine, again)}")


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether the official numbers agree to 1e-12."""
    return all(
        math.isclose(*pair, abs_tol=1e-12) or all(map(math.isnan, pair)) for pair in zip(*(_shown(r) for r in (first, second)), strict=True)
    )


def _shown(run: dict[str, Any]) -> list[float]:
    return [run["results"][name] for name in SHOWN]


def run_ours(samples: str, url: str, concurrency: str, cache: str) -> None:
    """One run of ours, reported as JSON; what the run would import is imported before."""
    import openai  # noqa: F401

    from medvl.judges.endpoint import EndpointJudge
    from medvl.metrics.radfact import RadFactMetric

    examples = json.loads(Path(samples).read_text())
    candidates, references = ({e["example_id"]: e[side] for e in examples} for side in ("prediction", "target"))
    began, processor = time.perf_counter(), time.process_time()
    judge = EndpointJudge(url, "fake", concurrency=int(concurrency), cache=cache or None, progress=False)
    _, results = RadFactMetric(judge, compat="radfact").compute_metric_score(candidates, references)
    found = {"seconds": time.perf_counter() - began, "processor_seconds": time.process_time() - processor}
    print("RESULT " + json.dumps({**found, "results": results}))


def ours(samples: Path, url: str, concurrency: int, cache: str) -> dict[str, Any]:
    """One run of ours in a process of its own."""
    return result_of([sys.executable, __file__, "--one", str(samples), url, str(concurrency), cache])


def official(options: argparse.Namespace, checkout: Path, samples: Path, url: str, concurrency: int) -> dict[str, Any]:
    """One run of the official code in its environment."""
    endpoint = {"type": "CHAT_OPENAI", "url": url, "deployment_name": "fake", "api_key_env_var_name": "API_KEY_LOCAL"}
    endpoint |= {"speed_factor": 1.0, "num_parallel_processes": concurrency}
    (checkout / "configs" / "endpoints" / "local.yaml").write_text(json.dumps({"ENDPOINT_0": endpoint}))
    (checkout / "outputs").mkdir(exist_ok=True)
    path = os.pathsep.join(map(str, (checkout / "src", checkout / "stand_ins")))
    environment = {**os.environ, "PYTHONPATH": path, "API_KEY_LOCAL": "none", "OMP_NUM_THREADS": "1"}
    return result_of([options.python, "official_radfact.py", str(samples)], cwd=checkout, env=environment)


def official_checkout(source: Path, folder: Path) -> Path:
    """A copy of the checkout with a configuration for the endpoint and stand-ins for the Azure packages."""
    checkout = folder / "radfact"
    shutil.copytree(source, checkout, ignore=shutil.ignore_patterns(".git", "outputs"))
    shutil.copy(HERE / "official_radfact.py", checkout)  # beside this file it would find this file for the package of its name
    (checkout / "configs" / "radfact_local.yaml").write_text(
        "#@package __global__\ndefaults:\n  - default\n  - override endpoints: local\n  - _self_\n"
    )
    for name, content in STAND_INS.items():
        path = checkout / "stand_ins" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
        for package in path.relative_to(checkout / "stand_ins").parents:
            if package.name:
                (checkout / "stand_ins" / package / "__init__.py").touch()
    return checkout


def invented_samples(number: int) -> list[dict[str, Any]]:
    """Studies of thirteen phrases, about as long as RadFact's examples."""
    findings = ("pleural effusion", "pneumothorax", "consolidation", "edema", "nodule", "atelectasis", "cardiomegaly")
    studies = []
    for study in range(number):
        phrases = [f"{('No', 'Small left', 'Large right')[(study + i) % 3]} {finding}, film {study}." for i, finding in enumerate(findings)]
        sides = {"prediction": phrases[1:], "target": phrases[:-1] if study % 2 else phrases}
        studies.append({"example_id": str(study), **{side: [{"text": t, "boxes": None} for t in texts] for side, texts in sides.items()}})
    return studies


def result_of(command: list[str], **options: Any) -> dict[str, Any]:
    """The JSON that a process reports on a line of its own."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        sys.exit(f"{command[1]} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(lines[-1].removeprefix("RESULT "))
    return found


@contextlib.contextmanager
def fake_endpoint(*arguments: str) -> Iterator[str]:
    """The address of an endpoint that runs for as long as this does."""
    process = subprocess.Popen([sys.executable, str(HERE / "fake_endpoint.py"), *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.terminate()
        process.wait()


def call(url: str, what: str) -> dict[str, int]:
    """The endpoint's counters, or nothing after a reset."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/{what}") as answer:
        content: dict[str, int] = json.load(answer)
    return content


if __name__ == "__main__":
    main()
