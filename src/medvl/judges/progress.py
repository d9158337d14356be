"""A progress bar for long rounds of questions: on a terminal only, and only if there is something to wait for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

WORTH_SHOWING = 20  # questions


@contextmanager
def progress_bar(total: int, description: str, *, shown: bool = True) -> Iterator[Callable[[], None]]:
    """Yield what is called once per finished question; the bar goes to standard error."""
    import sys

    if not shown or total < WORTH_SHOWING or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda: progress.advance(task)
