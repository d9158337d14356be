"""The ``medvl`` command: finds the verb, answers ``--help`` at once, and hands the rest to the verb's own file.

Nothing heavy is imported here: help must come in well under half a second. The flags ``--dry-run``, ``--json``, ``--restart`` and
``--traceback`` are short for the keys ``dry_run=true`` and so on; all else goes to Hydra as it stands (overrides, ``--multirun``,
``--cfg job``, ``-sc install=bash``).
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import NoReturn

from medvl import __version__

VERBS = {
    "phantom": "write the simulated patient world in the official dataset layouts",
    "prepare": "decode a dataset once into a Parquet manifest and an image cache",
    "data": "look at datasets: `data verify` compares files with a release, `data show` makes a page of one study",
    "train": "train a model from an experiment",
    "evaluate": "run a benchmark: a trained model on a dataset",
    "ground": "show where an image-text model sees phrases in one radiograph",
    "features": "encode a dataset with a frozen encoder into a Parquet table",
    "score": "score predicted reports against references; `score compare` tests two systems, `score rebuild` remakes tables",
    "export": "write an image encoder in another layout: hf, dinov2, timm or medvl",
    "judge": "look at judges of text: `judge qualify` scores one on gold labels",
    "doctor": "check this installation, its accelerators and the dataset folders",
}

FLAGS = {
    "--dry-run": ("dry_run=true", "compose, validate and size the run; write nothing"),
    "--json": ("json=true", "print the result as one JSON object"),
    "--restart": ("restart=true", "start anew where an earlier run of the same command would be resumed"),
    "--traceback": ("show_traceback=true", "show where an error came from"),
}


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script."""
    try:
        _answer(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except BrokenPipeError:
        stop_writing()


def stop_writing() -> NoReturn:
    """Leave without a word: whoever reads the output, `head` say, has enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)


def _answer(words: list[str]) -> None:
    if words[:1] in (["-sc"], ["--shell-completion"]) or "COMP_LINE" in os.environ:
        return _complete(words)
    if not words or words[0] in ("-h", "--help"):
        return print(_help())
    if words[0] == "--version":
        return print(f"medvl {__version__}")
    verb, rest = words[0], words[1:]
    if verb not in VERBS:
        from medvl.runtime.errors import did_you_mean

        sys.exit(f"medvl: there is no verb {verb!r}{did_you_mean(verb, VERBS)}")
    if "-h" in rest or "--help" in rest:
        return print(_verb_help(verb))
    importlib.import_module(f"medvl.cli.{verb}").main([FLAGS[w][0] if w in FLAGS else w for w in rest])


def _help() -> str:
    verbs = "\n".join(f"  {name:<10}{text}" for name, text in VERBS.items())
    return f"""medvl {__version__}: the medical vision-language stack on chest radiographs

usage: medvl <verb> [key=value …] [flags]

verbs:
{verbs}

`medvl <verb> --help` explains a verb. Tab completion: eval "$(medvl -sc install=bash)\""""


def _verb_help(verb: str) -> str:
    module = importlib.import_module(f"medvl.cli.{verb}")
    flags = "\n".join(f"  {name:<13}{text}" for name, (_, text) in FLAGS.items())
    return f"{(module.__doc__ or '').strip()}\n\nflags:\n{flags}\n\nFurther flags are Hydra's: --multirun, --cfg job, --info defaults, …"


def _complete(words: list[str]) -> None:
    """Serve Hydra's shell completion for each verb: the line without its verb is the line of that verb's own app."""
    line = os.environ.get("COMP_LINE", "")
    typed = line.split()
    if not line or len(typed) < 2 or typed[1] not in VERBS or (len(typed) == 2 and not line.endswith(" ")):
        if any(w.startswith("query") for w in words):
            return print("\n".join(v for v in VERBS if len(typed) < 2 or v.startswith(typed[1])))
        typed = [typed[0] if typed else "medvl", "train"]
    short = line.replace(f" {typed[1]}", "", 1)
    if line:
        os.environ["COMP_POINT"] = str(int(os.environ.get("COMP_POINT", len(line))) - (len(line) - len(short)))
        os.environ["COMP_LINE"] = short
    importlib.import_module(f"medvl.cli.{typed[1]}").main(words)
