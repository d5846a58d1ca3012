"""Run a Celery worker and say when it is ready: ``python -m services.embedded.celery_process``.

It is ready when it listens to the broker; a process that merely runs may not.
"""

import os
from pathlib import Path
from typing import Any

from services.embedded.processes import READY_FILE


def main() -> None:
    """Run ``celery`` with this process's arguments."""
    from celery.__main__ import main as celery
    from celery.signals import worker_ready

    ready = Path(os.environ[READY_FILE])

    def say_ready(**_: Any) -> None:
        ready.write_text(str(os.getpid()))

    # A signal holds its receivers weakly unless told otherwise.
    worker_ready.connect(say_ready, weak=False)
    celery()


if __name__ == "__main__":
    main()
