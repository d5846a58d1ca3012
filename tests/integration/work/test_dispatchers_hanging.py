"""A chore that hangs holds up no other, and keeps no dispatcher in office."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from services.context import Context
from services.dispatcher import Dispatcher
from services.errors import TransientError
from services.queue import DISPATCHER
from services.tick import Chore
from services.work import fleet
from tests.support.cli import settings_of, tubegrader
from tests.support.dispatchers import environ, members, start
from tests.support.embedded import wait_until

__all__ = ["environ", "members"]


def test_a_chore_that_stands_still_or_breaks_holds_up_no_other(context: Context, members: Any):
    stands, stop, ticks = threading.Event(), threading.Event(), []

    def stand_still(_: Context) -> None:
        stands.wait()

    def break_down(_: Context) -> None:
        raise ZeroDivisionError

    def count(_: Context) -> None:
        ticks.append(1)
        if len(ticks) == 5:
            stop.set()

    chores = [
        Chore("still", stand_still, timedelta()),
        Chore("broken", break_down, timedelta()),
        Chore("count", count, timedelta(milliseconds=1)),
    ]
    dispatcher = Dispatcher(context, members(), chores)
    runner = threading.Thread(target=dispatcher.run, args=(stop,))
    runner.start()
    assert stop.wait(30)
    stands.set()
    runner.join(30)
    assert len(ticks) >= 5


def test_who_hangs_in_what_is_essential_leaves_the_office_and_says_so(
    context: Context, members: Any
):
    hold, stop = threading.Event(), threading.Event()
    limit = timedelta(milliseconds=100)

    def late() -> tuple[str, timedelta] | None:
        return dispatcher.late()

    chores = [
        Chore("dawdle", lambda _: hold.wait(), timedelta(), limit, is_essential=False),
        Chore("hand out", lambda _: hold.wait(), timedelta(), 20 * limit),
        Chore("follow", lambda _: None, timedelta(milliseconds=1), 100 * limit),
    ]
    standby, member = members(), fleet.Member(context, DISPATCHER, late=late)
    dispatcher = Dispatcher(context, member, chores)
    with ThreadPoolExecutor(1) as pool:
        try:
            running = pool.submit(dispatcher.run, stop)
            wait_until(lambda: dispatcher.late() is not None, "a chore that hangs")
            member.beat()
            [seen] = [p for p in fleet.listed(context) if p.name == member.name]
            assert (seen.is_elected, seen.late_chore) == (True, "dawdle"), "it is not essential"
            assert not standby.holds(DISPATCHER, term=timedelta(hours=1))
            with pytest.raises(TransientError, match="“hand out” hangs") as caught:
                running.result(30)
            assert caught.value.reason == "choreHangs"
            assert standby.holds(DISPATCHER), "nobody waits for the end of the term"
        finally:
            hold.set()
            member.leave()
    [seen] = [p for p in fleet.listed(context) if p.name == member.name]
    assert (seen.is_elected, seen.late_chore) == (False, "hand out")
    assert seen.late_since is not None
    assert seen.late_since > seen.started_at - timedelta(seconds=5)
    assert f"at “hand out” since {seen.late_since:%Y-%m-%d %H:%M} UTC" in str(seen.lateness)
    with context.transaction() as session:
        session.execute(text("UPDATE worker_processes SET seen_at = now() - interval '1 hour'"))
    [seen] = [p for p in fleet.listed(context) if p.name == member.name]
    assert "is gone, and had been at “hand out”" in str(seen.lateness)


def test_a_dispatcher_whose_chore_hangs_ends_with_a_message_and_the_next_goes_on(
    context: Context, environ: dict[str, str], tmp_path: Path
):
    shortened = (
        "import dataclasses, datetime, sys; from services import tick\n"
        "tick.CHORES = tuple(dataclasses.replace(c, longest=datetime.timedelta(seconds=2)) "
        "for c in tick.CHORES)\n"
        "from workers.dispatcher import main; sys.exit(main())"
    )
    # As a query that never comes back: every chore waits for this lock.
    with context.engine.begin() as blocking:
        blocking.execute(text("LOCK TABLE schedules IN ACCESS EXCLUSIVE MODE"))
        done = subprocess.run(
            [sys.executable, "-c", shortened], env=environ, capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip
    said = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 1
    assert [one["problem"] for one in said if one["event"] == "dispatcher.ends"] == [
        "“hand out” hangs"
    ]
    assert [p.late_chore for p in fleet.listed(context)] == ["hand out"]
    said_by_doctor = tubegrader("doctor", env=settings_of(context)).out
    assert "at “hand out” since" in said_by_doctor
    following = start(environ, tmp_path / "next")
    try:
        wait_until(lambda: any(p.is_elected for p in fleet.listed(context)), "the next")
    finally:
        following.kill()
        following.wait()
