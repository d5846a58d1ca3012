"""The supervised processes: ready, restarted, given up, stopped to the last child."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from services.embedded import holders, lifecycle, supervise
from services.embedded.endpoints import Endpoints
from services.embedded.home import Home
from services.embedded.identity import ProcessId
from services.embedded.logs import Follower
from services.embedded.processes import Family, ProcessSpec, ProcessState, stop_orphans
from tests.support.embedded import (
    Python,
    home,
    leftovers,
    made_home,
    recorded,
    settings_for,
    supervised,
    wait_until,
)

__all__ = ["home", "made_home"]

SAY_READY = "import os, time; open(os.environ['TUBEGRADER_READY_FILE'], 'w').close(); "
WELL = SAY_READY + "print('at work', flush=True); time.sleep(600)"
CRASHES = "print('no module named torch', flush=True); raise SystemExit(7)"
DEAF = (
    "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); " + WELL
)


def program(name: str, code: str, grace_s: float = 10.0, **env: str) -> ProcessSpec:
    return ProcessSpec(name, [sys.executable, "-c", code], env, grace_s)


@pytest.fixture
def bare_home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home")
    home.create()
    yield home
    assert leftovers(home.path) == []


@contextmanager
def running(
    home: Home, *specs: ProcessSpec, report: Callable[[str], None] = print
) -> Iterator[Family]:
    family = Family(home, specs, report)
    family.start()
    try:
        yield family
    finally:
        family.stop()


def state(family: Family, name: str) -> str:
    family.tick()
    return str(family.record()[name]["state"])


def process(family: Family, name: str) -> ProcessId:
    found = ProcessId.from_json(family.record()[name]["process"])
    assert found is not None
    return found


def test_a_process_is_up_once_it_says_so(bare_home: Home) -> None:
    mute = "import time; time.sleep(600)"
    with running(bare_home, program("well", WELL), program("mute", mute)) as family:
        wait_until(lambda: state(family, "well") == ProcessState.UP, "ready")
        assert state(family, "mute") == ProcessState.STARTING
        assert "at work" in bare_home.log("well").read_text()


def test_a_killed_process_is_started_again(bare_home: Home) -> None:
    with running(bare_home, program("well", WELL)) as family:
        wait_until(lambda: state(family, "well") == ProcessState.UP, "ready")
        first = process(family, "well")
        first.signal(signal.SIGKILL)
        wait_until(lambda: state(family, "well") != ProcessState.UP, "noticed")
        assert "killed by SIGKILL" in family.record()["well"]["message"]
        wait_until(lambda: state(family, "well") == ProcessState.UP, "up again")
        assert process(family, "well") != first
        assert family.record()["well"]["restarts"] == 1


def test_a_process_that_keeps_crashing_is_given_up_and_its_last_words_shown(
    bare_home: Home,
) -> None:
    told: list[str] = []
    specs = (program("bad", CRASHES), program("well", WELL))
    with running(bare_home, *specs, report=told.append) as family:
        wait_until(lambda: state(family, "bad") == ProcessState.FAILED, "given up")
        assert len(told) == 5
        assert "starting it again in 0.5 s" in told[1]
        assert told[-1].endswith("bad is given up: it keeps dying")
        record = family.record()["bad"]
        assert record["restarts"] == 4
        assert "exit code 7" in record["message"]
        assert "no module named torch" in record["message"]
        wait_until(lambda: state(family, "well") == ProcessState.UP, "the other one")


def test_a_program_that_cannot_be_run_is_given_up(bare_home: Home) -> None:
    with running(bare_home, ProcessSpec("absent", ["/no/such/program"])) as family:
        wait_until(lambda: state(family, "absent") == ProcessState.FAILED, "given up")
        assert "/no/such/program" in family.record()["absent"]["message"]


def test_who_will_not_stop_is_killed_with_its_children(bare_home: Home) -> None:
    with running(bare_home, program("deaf", DEAF, grace_s=0.2)) as family:
        wait_until(lambda: state(family, "deaf") == ProcessState.UP, "ready")
        leader = process(family, "deaf")
        children = psutil.Process(leader.pid).children(recursive=True)
        assert len(children) == 1
        family.stop()
        assert not leader.alive()
        wait_until(lambda: ProcessId.of(children[0].pid) is None, "its child")


def test_orphans_of_a_killed_owner_are_stopped_and_nobody_else(bare_home: Home) -> None:
    owner = """
import json, sys
from pathlib import Path
from services.embedded.home import Home
from services.embedded.processes import Family, ProcessSpec
family = Family(Home(Path(sys.argv[1])), [ProcessSpec("deaf", [sys.executable, "-c", sys.argv[2]])])
family.start()
while not family.tick(): pass
print(json.dumps(family.record()), flush=True)
sys.stdin.readline()
"""
    other = Home(bare_home.path.with_name("other"))
    other.create()
    with running(other, program("well", WELL)) as family:
        with Python(owner, bare_home.path, DEAF) as command:
            record = command.next_report()
            assert isinstance(record, dict)
        assert len(leftovers(bare_home.path)) == 2
        # Also without the record, by the mark that every process carries.
        assert stop_orphans(bare_home, {}, grace_s=0.2) == 2
        assert stop_orphans(bare_home, record, grace_s=0.2) == 0
        assert process(family, "well").alive()


def test_a_follower_reads_on_across_rotation(bare_home: Home) -> None:
    log = bare_home.log("chatty")
    follower = Follower([("chatty", log)])
    log.write_text("one\ntwo\nhal")
    assert [line.text for line in follower.lines()] == ["one", "two"]
    with log.open("a") as file:
        file.write("f\n")
    log.rename(log.with_name("chatty.log.1"))
    log.write_text("three\n")
    assert [line.text for line in follower.lines()] == ["half", "three"]
    assert list(follower.lines()) == []
    follower.close()


def test_large_logs_are_moved_aside_when_their_process_starts(bare_home: Home) -> None:
    log = bare_home.log("well")
    for _ in range(5):
        log.write_bytes(b"x" * 6_000_000)
        with running(bare_home, program("well", WELL)) as family:
            wait_until(lambda: state(family, "well") == ProcessState.UP, "ready")
    kept = sorted(path.name for path in bare_home.logs.glob("well.log*"))
    assert kept == ["well.log", "well.log.1", "well.log.2", "well.log.3"]
    assert log.stat().st_size < 1_000


@contextmanager
def supervising(home: Path, *specs: ProcessSpec) -> Iterator[threading.Event]:
    """Run the real supervisor over small programs in a thread of this process."""

    def specs_for(_settings: object, endpoints: Endpoints) -> list[ProcessSpec]:
        assert endpoints.redis_url
        return list(specs)

    stop = threading.Event()
    thread = threading.Thread(
        target=supervise.supervise, args=(settings_for(home), specs_for), kwargs={"stop": stop}
    )
    thread.start()
    try:
        yield stop
        wait_until(lambda: not thread.is_alive(), "the supervisor's end")
    finally:
        stop.set()
        thread.join()


def phase(home: Path) -> str:
    return str(Home(home).read_state("supervisor").get("phase"))


def test_the_supervisor_brings_killed_servers_back_under_the_same_address(home: Path) -> None:
    place = Home(home)
    place.create()
    with place.lock():
        user = holders.hold(place, "test")
    with supervising(home, program("well", WELL)) as stop:
        wait_until(lambda: phase(home) == "running", "the supervisor")
        worker = supervised(home, "well")
        endpoints = lifecycle.running_servers(place, settings_for(home))
        before = {name: recorded(home, name) for name in ("postgres", "redis")}
        for server in before.values():
            server.signal(signal.SIGKILL)
        for name, server in before.items():
            wait_until(
                lambda n=name, s=server: (
                    "process" in place.read_state(n) and recorded(home, n) != s
                ),
                name,
            )
        wait_until(
            lambda: lifecycle.running_servers(place, settings_for(home)) == endpoints,
            "the same endpoints",
        )
        assert supervised(home, "well") == worker
        with place.lock():
            holders.release(user)
        wait_until(lambda: not leftovers(home), "all to stop once nobody uses the home")
        assert not stop.is_set()


def test_the_supervisor_ends_with_a_killed_command(home: Path) -> None:
    hold = """
import json, sys
from pathlib import Path
from services.embedded import holders
from services.embedded.home import Home
home = Home(Path(sys.argv[1]))
home.create()
with home.lock():
    holders.hold(home, "command")
print(json.dumps("holding"), flush=True)
sys.stdin.readline()
"""
    with Python(hold, home) as command:
        assert command.next_report() == "holding"
        with supervising(home, program("well", WELL)):
            wait_until(lambda: supervised(home, "well") is not None, "the worker")
            command.process.kill()
            command.process.wait()
            began = time.monotonic()
            wait_until(lambda: not leftovers(home), "all to stop")
            assert time.monotonic() - began < 20


def test_a_second_supervisor_leaves_at_once(home: Path) -> None:
    place = Home(home)
    place.create()
    with place.lock():
        user = holders.hold(place, "test")
    with supervising(home, program("well", WELL)):
        wait_until(lambda: supervised(home, "well") is not None, "the worker")
        supervise.supervise(settings_for(home), lambda *_: [], stop=threading.Event())
        assert supervised(home, "well") is not None
        with place.lock():
            holders.release(user)
