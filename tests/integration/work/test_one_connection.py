"""Who works in a transaction needs no second connection: a pool of one is enough for everything."""

import dataclasses
from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from services import tick
from services.clock import SharedClock
from services.context import Context
from services.crawl import runs
from services.emulator.synthetic import synthetic_catalog
from services.errors import InfrastructureError
from services.work import jobs, maintenance, pauses
from services.work.kinds import WORK_KINDS
from tests.support.audio_host import Speech, speech, spoken
from tests.support.crawl import NOW, offline_crawl
from tests.support.databases import with_one_connection
from tests.support.operations import Operations, operations
from tests.support.speech_jobs import again

__all__ = ["operations", "speech", "spoken"]


def test_each_chore_does_with_one_connection(operations: Operations):
    for kind in WORK_KINDS:
        operations.make_work(kind, 3)
    operations.with_settings(
        notify_webhook=SecretStr("http://127.0.0.1:1/"), youtube_api_key=SecretStr("a-key")
    )
    context = with_one_connection(operations.context)
    runs.start(context)
    for _ in range(2):
        for chore in tick.CHORES:
            chore.do(context)
        operations.turn(seconds=30)
    assert {name for name, _ in operations.queue.sent} == {k.task.name for k in WORK_KINDS.values()}
    pauses.pause(context, "crawl", reason="a test")
    jobs.cancel(context, runs.start(context))
    tick.dispatch(context)


def test_a_crawl_and_the_nights_upkeep_do_with_one_connection(context: Context):
    catalog = synthetic_catalog(seed=3, epoch=NOW, channels=2, videos=30, hidden_share=0.2)
    with offline_crawl(context, catalog) as crawl:
        with_one_connection(crawl.context)
        job = crawl.run()
        assert (job.state, job.result) == ("succeeded", {"done": 64, "failed": 0, "failures": []})
        crawl.turn(days=40)
        # Nothing is seen of any video: each of them fails, and is put off.
        crawl.context.settings = crawl.context.settings.model_copy(
            update={"thumbnail_url": "http://127.0.0.1:1"}
        )
        tick.dispatch(crawl.context)
        upkeep = jobs.submit(crawl.context, "upkeep", {})
        again(crawl.context, upkeep, maintenance.work)
        assert jobs.view(crawl.context, upkeep).state == "succeeded"


def test_audio_does_with_one_connection(speech: Speech):
    with_one_connection(speech.context)
    speech.host.statuses[speech.sql("SELECT max(video_id) FROM videos")[0][0]] = 403
    speech.select()
    assert speech.collect() == 1


def test_time_within_a_transaction_is_that_transactions_connection(context: Context):
    own = with_one_connection(dataclasses.replace(context))
    clock = SharedClock(own.database_moment)
    with own.transaction() as session:
        told = session.execute(text("SELECT clock_timestamp()")).scalar_one()
        assert timedelta(0) <= clock() - told < timedelta(seconds=5)
    with own.transaction():
        pass
    own.close()


def test_time_goes_on_though_the_transaction_has_failed(context: Context):
    def fail() -> None:
        with context.transaction() as session:
            with pytest.raises(ProgrammingError):
                session.execute(text("SELECT nothing"))
            with pytest.raises(InfrastructureError, match="has failed"):
                context.database_moment()
            SharedClock(context.database_moment)()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    context.database_moment()
