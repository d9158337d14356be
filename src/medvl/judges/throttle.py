"""How many calls may be under way: a limit that gives way when the server is overloaded, and comes back as it recovers.

Additive increase, multiplicative decrease, as in congestion control: a refusal halves the limit and pauses every caller for as long as
the server says or an exponential back-off with jitter asks (2^n · 0.5 s, times a draw from [0.5, 1]); each full round of successes raises
the limit by one.
"""

from __future__ import annotations

import asyncio
import random
import time

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds


def pause_after(attempt: int, *, said: float | None = None) -> float:
    """Seconds to wait after refusal number ``attempt`` (from 0): what the server said, or the back-off.

    What the server says is obeyed up to five minutes, with a little jitter, so that callers do not come back all at once.
    """
    jitter = random.random()
    if said is not None:
        return min(said, 300.0) * (1 + 0.1 * jitter)
    return min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE) * (0.5 + 0.5 * jitter)


class Throttle:
    """The limit on calls under way; ``async with throttle:`` around each call.

    Args:
        limit: the most calls at once.
    """

    def __init__(self, limit: int) -> None:
        self.most = limit
        self.limit = float(limit)
        self.under_way = 0
        self._paused_until = 0.0
        self._halved_at = -1.0
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self.under_way < int(self.limit))
                rest = self._paused_until - time.monotonic()
                if rest <= 0:
                    self.under_way += 1
                    return
            await asyncio.sleep(rest)

    async def __aexit__(self, *_: object) -> None:
        async with self._changed:
            self.under_way -= 1
            self._changed.notify_all()

    def succeeded(self) -> None:
        """A call went through: the limit grows by one per round of calls."""
        self.limit = min(self.most, self.limit + 1 / self.limit)

    def refused(self, started: float, pause: float, *, everyone: bool) -> None:
        """A call was refused or lost.

        Args:
            started: when the call began (``time.monotonic``); of the calls of one round only the first halves the limit.
            pause: seconds to wait.
            everyone: whether all callers shall wait (the server is overloaded), not this one alone.
        """
        if not everyone:
            return
        self._paused_until = max(self._paused_until, time.monotonic() + pause)
        if started > self._halved_at:
            self.limit = max(1.0, self.limit / 2)
            self._halved_at = time.monotonic()
