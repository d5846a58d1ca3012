"""Time is a parameter: edges ask a clock once and pass ``now`` down."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from services.errors import TransientError, TubeGraderError

Clock = Callable[[], datetime]

ASK_EVERY_S = 30.0
"""A quartz clock is off by a few milliseconds after so long."""
PROMPT_S = 1.0
"""An answer that took longer is from any moment in between: what is known is better, if it fits."""
ANSWERS = 3
"""So often at most is asked for a prompt one."""


def system_clock() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


class SharedClock:
    """The database's time, told between two questions by what passed on this machine.

    Leases, slots and schedules of all machines go by one clock, whatever each thinks the time is.
    While the database is away it goes on by itself; where it never answered it is the machine's.
    """

    def __init__(self, ask: Clock) -> None:
        """Make a clock that asks nothing yet.

        Args:
            ask: Returns the database's present moment; raises a TubeGraderError if it is away.
        """
        self._ask = ask
        self._told: tuple[datetime, float] | None = None
        self._ask_at = float("-inf")

    def __call__(self) -> datetime:
        """Return the present moment in UTC."""
        if _elapsed() >= self._ask_at:
            self._ask_again()
        if self._told is None:
            return system_clock()
        return _later(self._told, _elapsed())

    def offset_s(self) -> float:
        """Ask now; return by how many seconds this machine's clock is ahead of the database's.

        Raises:
            TubeGraderError: The database is away.
        """
        for _ in range(ANSWERS):
            if self._answer() <= PROMPT_S:
                break
        assert self._told is not None, "it has just answered"
        now = system_clock()
        return (now - _later(self._told, _elapsed())).total_seconds()

    def _ask_again(self) -> None:
        # First, so that others go on with what is known while this one asks.
        self._ask_at = _elapsed() + ASK_EVERY_S
        try:
            is_prompt = self._answer() <= PROMPT_S
        except TubeGraderError:
            is_prompt = False
        if not is_prompt:
            self._ask_at = _elapsed() + ASK_EVERY_S / 10

    def _answer(self) -> float:
        """Ask, and know better where the answer allows; return how many seconds it took."""
        before = _elapsed()
        moment = self._ask().astimezone(UTC)
        after = _elapsed()
        told = self._told
        fits = told is not None and _later(told, before) <= moment <= _later(told, after)
        if after - before <= PROMPT_S or not fits:
            self._told = moment, (before + after) / 2
        return after - before


def _later(told: tuple[datetime, float], elapsed: float) -> datetime:
    """Return what time it is once so much has passed, by what was told and when."""
    moment, at = told
    return moment + timedelta(seconds=elapsed - at)


def _elapsed() -> float:
    """Return seconds that no change of the clock moves, and that a machine asleep counts too."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # the first on Linux alone
    return time.clock_gettime(clock)


def clock_at(url: str | None) -> Clock:
    """Return the clock of the offline YouTube at ``url``, or the system's where that is None.

    A testing aid: worker processes that share the emulator's time can live through a month in
    minutes. Reading it raises ``TransientError`` when the emulator cannot be asked.
    """
    if url is None:
        return system_clock
    import http.client  # noqa: PLC0415  (only who asks pays for it)
    import urllib.request  # noqa: PLC0415

    address = f"{url}/emulator/clock"
    # Straight to the address: a proxy from the environment has no business with the time.
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def clock() -> datetime:
        for wait_s in (0.1, 0.5, None):
            try:
                with ask(address, timeout=10) as reply:
                    return datetime.fromisoformat(json.load(reply)["now"]).astimezone(UTC)
            except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
                if wait_s is None:
                    raise TransientError(
                        f"the clock at {address} does not tell the time: {error}",
                        reason="clockUnreachable",
                        hint="TUBEGRADER_CLOCK_URL is for tests; unset it outside of them",
                    ) from error
                time.sleep(wait_s)
        raise AssertionError("the last attempt returns or raises")

    return clock
