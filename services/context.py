"""What a service needs around it, made once per process from the settings."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Self

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db.queries.work.fleet import present_moment
from db.session import SessionFactory, make_engine, make_session_factory
from services.clock import Clock, SharedClock, clock_at, system_clock
from services.errors import InfrastructureError, UsageError
from services.settings import Settings
from services.transactions import UNAVAILABLE, open_session, transaction

if TYPE_CHECKING:
    from services.cadence import Policy
    from services.queue import TaskQueue
    from services.storage import ObjectStore
    from services.youtube.gateway import YouTubeGateway


@dataclass
class Context:
    """The database, the object store, the queue and YouTube, each opened when first used."""

    settings: Settings
    clock: Clock = field(default=system_clock)

    @classmethod
    def of_process(cls, settings: Settings) -> Self:
        """Return the context of a worker or command: its clock is the database's.

        With ``TUBEGRADER_CLOCK_URL`` it is that of the offline YouTube.
        """
        context = cls(settings)
        if settings.clock_url is not None:
            context.clock = clock_at(settings.clock_url)
        elif settings.database_url is not None:
            context.clock = SharedClock(context.database_moment)
        return context

    def database_moment(self) -> datetime:
        """Return what time the database thinks it is.

        Within a transaction of this thread's that one is asked: who holds a connection waits for no
        second one, which others may hold who wait for theirs.

        Raises:
            InfrastructureError: It is away or busy, or that transaction has failed.
        """
        session = open_session(self.engine)
        if session is None:
            with self.transaction() as session:
                return present_moment(session)
        try:
            return present_moment(session)
        except SQLAlchemyError as error:
            raise InfrastructureError(
                "the transaction under way has failed", reason=UNAVAILABLE
            ) from error

    @cached_property
    def cadence(self) -> "Policy":
        """How often what is collected."""
        from services.cadence import load  # noqa: PLC0415

        return load(self.settings.cadence)

    @property
    def lease(self) -> timedelta:
        """How long claimed work may go without a word."""
        return timedelta(seconds=self.settings.lease_seconds)

    @cached_property
    def engine(self) -> Engine:
        """The database's engine."""
        from services.embedded.urls import database_url  # noqa: PLC0415

        url = _needed(self.settings.database_url, "TUBEGRADER_DATABASE_URL")
        return make_engine(database_url(url), pooled=self.settings.database_pooled)

    @cached_property
    def sessions(self) -> SessionFactory:
        """The factory of sessions."""
        return make_session_factory(self.engine)

    def transaction(self) -> AbstractContextManager[Session]:
        """Open a session: committed when the block ends, rolled back when it raises.

        The one place where something commits: a unit of work begins and ends with it.

        Raises:
            InfrastructureError: The database is away or busy (:mod:`services.transactions`).
        """
        return transaction(self.sessions)

    @cached_property
    def store(self) -> "ObjectStore":
        """The object store."""
        from services.storage import ObjectStore  # noqa: PLC0415  (each part when first used)

        return ObjectStore.from_url(_needed(self.settings.storage_url, "TUBEGRADER_STORAGE_URL"))

    @cached_property
    def queue(self) -> "TaskQueue":
        """The way to the workers."""
        from db.queries.installation import installation_id  # noqa: PLC0415
        from services.queue import TaskQueue, key_prefix  # noqa: PLC0415

        redis_url = _needed(self.settings.redis_url, "TUBEGRADER_REDIS_URL")
        with self.transaction() as session:
            prefix = key_prefix(installation_id(session))
        return TaskQueue(redis_url, prefix)

    @cached_property
    def youtube(self) -> "YouTubeGateway":
        """YouTube's Data API, with its quota booked in the database."""
        from services.youtube.gateway import YouTubeGateway  # noqa: PLC0415
        from services.youtube.quota import (  # noqa: PLC0415
            DatabaseLedger,
            daily_limits,
            key_fingerprint,
            shares,
        )

        key = self.settings.youtube_api_key
        if key is None:
            raise UsageError(
                "no YouTube API key is set",
                reason="keyMissing",
                hint="export TUBEGRADER_YOUTUBE_API_KEY=…; the README tells how to get one",
            )
        return YouTubeGateway(
            key.get_secret_value(),
            DatabaseLedger(
                self.transaction,
                key_fingerprint(key.get_secret_value()),
                daily_limits(self.settings.youtube_daily_units),
                self.clock,
                shares=shares(self.settings),
            ),
            self.clock,
            endpoint=self.settings.youtube_endpoint,
        )

    def close(self) -> None:
        """Close the connections that were opened."""
        if "youtube" in self.__dict__:
            self.youtube.close()
        if "engine" in self.__dict__:
            self.engine.dispose()


def _needed(url: str | None, name: str) -> str:
    if url is None:
        raise UsageError(
            f"{name} is not set and no embedded stack is running",
            hint="run `tubegrader up`, or set it to a running server",
        )
    return url
