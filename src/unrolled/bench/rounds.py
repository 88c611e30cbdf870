"""Timing of several libraries side by side, so that a disturbance hits all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

_SAMPLE = 0.003
"""Seconds that a sample takes at least: shorter calls are repeated within it."""

_WARM = 0.02
"""Calls shorter than this are preceded by one untimed, for the caches and to wake the threads."""

_FIRST_CALLS = 12
_FIRST_SECONDS = 0.5
"""Untimed calls of each library before the first round, as many as fit: allocators grow, and our
division of work among threads is found by trying."""

_PATIENCE = 0.2
"""Seconds to wait at most for the threads of the library before to come to rest."""

_MOST = 200
"""Rounds beyond which no median moves."""

Call = Callable[[], object]


def measure(calls: Mapping[str, Call], *, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Time calls in interleaved rounds; who begins changes from round to round.

    Args:
        calls: What to time, by name; each has been called before.
        rounds: Least number of rounds.
        seconds: Go on until so much time is spent.

    Returns:
        Seconds per call of each round, by name.
    """
    names = list(calls)
    once = {name: _first(calls[name]) for name in names}
    repeats = {name: max(1, round(_SAMPLE / max(once[name], 1e-7))) for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    start = time.perf_counter()
    for number in range(max(rounds, _MOST)):
        if number >= rounds and time.perf_counter() - start >= seconds:
            break
        for k in range(len(names)):
            name = names[(k + number) % len(names)]
            _rest()
            if once[name] < _WARM:
                calls[name]()
            times[name].append(_time(calls[name], repeats[name]))
    return times


def _first(call: Call) -> float:
    """Seconds of the fastest of the first calls."""
    found = [_time(call, 1), _time(call, 1)]
    while len(found) < _FIRST_CALLS and sum(found) < _FIRST_SECONDS:
        found.append(_time(call, 1))
    return min(found)


def _rest() -> None:
    """Wait until no thread of this process runs.

    Thread pools go on spinning after a call, ONNX Runtime's for 50 ms, on the processors that
    the next library needs.
    """
    end = time.perf_counter() + _PATIENCE
    while time.perf_counter() < end:
        start, spent = time.perf_counter(), time.process_time()
        time.sleep(0.005)  # other threads' time is booked by the tick, every 4 ms or oftener
        if time.process_time() - spent < 0.2 * (time.perf_counter() - start):
            return


def _time(call: Call, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats
