"""Health check of a worker or dispatcher on this machine: ``python -m workers.health``.

A process that lives and does its work touches the file of ``TUBEGRADER_READY_FILE`` every ten
seconds. Whether the database or Redis answers is not asked: to start a worker anew mends neither.
"""

import os
import sys
import time
from pathlib import Path

OLDEST_S = 60.0


def main() -> int:
    """Return 0 for a healthy process, 1 for one that is not."""
    name = os.environ.get("TUBEGRADER_READY_FILE")
    if name is None:
        print("TUBEGRADER_READY_FILE is not set", file=sys.stderr)
        return 1
    try:
        age_s = time.time() - Path(name).stat().st_mtime
    except OSError as error:
        print(f"it never was ready: {error}", file=sys.stderr)
        return 1
    if age_s > OLDEST_S:
        print(f"it was last heard of {age_s:.0f} s ago", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
