"""Commands in processes of their own that need not import what all of them import."""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_SERVER = """
import gc, importlib, json, os, runpy, sys

import services.cli.main
import services.learning.tasks
import services.transfer.export
import services.transfer.importing

for module in sys.argv[3:]:
    importlib.import_module(module)
# It is run anew, as the main module, by every command.
del sys.modules["services.cli.main"]
gc.collect()
gc.freeze()
requests, answers = os.fdopen(int(sys.argv[1])), os.fdopen(int(sys.argv[2]), "w")
for request in requests:
    pid = os.fork()
    if not pid:
        break
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), file=answers, flush=True)
else:
    sys.exit()
requests.close()
answers.close()
asked = json.loads(request)
os.environ.clear()
os.environ.update(asked["env"])
os.chdir(asked["cwd"])
for fd, path in enumerate(asked["files"]):
    os.dup2(os.open(path, os.O_RDWR), fd)
sys.argv[1:] = asked["arguments"]
runpy.run_module("services.cli.main", run_name="__main__", alter_sys=True)
"""
"""A program with one thread that forks for every line it reads; the child is the command."""


class Forks:
    """Runs commands one after the other, each in a fork of a process that has done the imports."""

    def __init__(self, *imported: str) -> None:
        """Begin with nothing running.

        Args:
            imported: Modules that are imported as well; none may start a thread.
        """
        self._imported = imported
        self._one = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        atexit.register(self._stop)

    def run(
        self, arguments: Sequence[str], env: Mapping[str, str], stdin: str, timeout_s: float
    ) -> tuple[int, str, str]:
        """Run a command to its end; return its exit code and what it printed.

        Raises:
            subprocess.TimeoutExpired: It took longer, and was killed.
        """
        with self._one, tempfile.TemporaryDirectory() as folder:
            files = [Path(folder, name) for name in ("in", "out", "err")]
            for path in files:
                path.write_text(stdin if path.name == "in" else "", "utf-8", "surrogateescape")
            request = {"arguments": arguments, "env": env, "cwd": str(Path.cwd())}
            code = self._ask(json.dumps(request | {"files": [*map(str, files)]}), timeout_s)
            out, err = (path.read_text("utf-8") for path in files[1:])
            return code, out, err

    def _ask(self, request: str, timeout_s: float) -> int:
        if self._server is None or self._server.poll() is not None:
            self._start()
        os.write(self._requests, f"{request}\n".encode())
        try:
            return self._answer(request, timeout_s)
        except BaseException:  # whatever it was, the next command is not to read this one's answer
            self._stop()
            raise

    def _answer(self, request: str, timeout_s: float) -> int:
        ready, _, _ = select.select([self._answers], [], [], timeout_s)
        if not ready:
            raise subprocess.TimeoutExpired(request, timeout_s)
        return int(os.read(self._answers, 100))

    def _start(self) -> None:
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER, str(requests), str(answers), *self._imported],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(requests, answers),
            start_new_session=True,
        )
        os.close(requests)
        os.close(answers)

    def _stop(self) -> None:
        if self._server is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._server.pid, signal.SIGKILL)
        self._server.wait(30)
        os.close(self._requests)
        os.close(self._answers)
        self._server = None
