#!/usr/bin/env python
"""Healthcheck of beat's container: did it send a message in the last half minute?

Beat answers no questions and writes no file, and a process that exists may still hang. But it
sends ``control.dispatch`` every second, and Redis knows of each connection whence it comes, what
it last did and how long ago. So: is there one from our address that pushed to a queue just now?

Beat must be alone in its network namespace, as in a container or a pod.
"""

import os
import sys

import redis

SILENCE_S = 30
"""Beat sends every second; a Redis that restarts takes a few."""


def main() -> int:
    """Return 0 if beat sends, 1 if it does not."""
    try:
        age_s = seconds_since_push(os.environ["TUBEGRADER_REDIS_URL"])
    except redis.RedisError as error:
        print(f"Redis cannot be asked: {error}", file=sys.stderr)
        return 1
    if age_s is None or age_s > SILENCE_S:
        print(f"beat last sent {'nothing' if age_s is None else f'{age_s} s ago'}", file=sys.stderr)
        return 1
    return 0


def seconds_since_push(redis_url: str) -> int | None:
    """Return how long ago this machine last pushed to a list of Redis; None if it never did."""
    with redis.Redis.from_url(redis_url, socket_timeout=5, decode_responses=True) as connection:
        here = _address(connection.client_info())
        ages = [
            int(client["idle"])
            for client in connection.client_list()
            if client["cmd"] == "lpush" and _address(client) == here
        ]
    return min(ages, default=None)


def _address(client: dict[str, str]) -> str:
    return client["addr"].rpartition(":")[0]


if __name__ == "__main__":
    sys.exit(main())
