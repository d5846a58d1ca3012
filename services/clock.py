"""Time is a parameter: edges ask a clock once and pass ``now`` down."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

from services.errors import TransientError

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


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
