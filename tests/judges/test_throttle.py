"""The limit on calls under way."""

import asyncio
import time

from medvl.judges.throttle import Throttle, pause_after


def test_refusals_of_one_round_halve_the_limit_once_and_successes_bring_it_back():
    throttle = Throttle(8)
    started = time.monotonic()
    for _ in range(3):
        throttle.refused(started, 0.0, everyone=True)

    assert throttle.limit == 4

    for _ in range(100):
        throttle.succeeded()

    assert throttle.limit == 8


def test_everyone_waits_for_as_long_as_the_server_asked():
    async def wait():
        throttle = Throttle(2)
        throttle.refused(time.monotonic(), 0.05, everyone=True)
        began = time.monotonic()
        async with throttle:
            return time.monotonic() - began

    assert asyncio.run(wait()) >= 0.04


def test_pauses_grow_to_a_bound_and_obey_the_server():
    assert all(0.25 <= pause_after(0) <= 0.5 for _ in range(20))
    assert all(30 <= pause_after(20) <= 60 for _ in range(20))
    assert all(7 <= pause_after(0, said=7.0) <= 7.7 for _ in range(20))
