"""Who works at the moment: each process by its heartbeat, and which of them dispatches."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base


class WorkerProcess(Base):
    """A worker or dispatcher that is alive, or ended without a word a while ago.

    All moments are the database's own, whatever the machines think the time is.
    """

    __tablename__ = "worker_processes"
    __table_args__ = (Index("ix_worker_processes_seen_at", "seen_at"),)

    process_name: Mapped[str] = mapped_column(primary_key=True, comment="role@host:pid/random")
    role: Mapped[str] = mapped_column(comment="dispatcher, or the queue that it works on")
    host: Mapped[str]
    pid: Mapped[int]
    version: Mapped[str] = mapped_column(comment="of TubeGrader")
    started_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    seen_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    late_chore: Mapped[str | None] = mapped_column(
        comment="of a dispatcher: what it began and has not ended for too long"
    )
    late_since: Mapped[datetime | None] = mapped_column(comment="when it began that")
    unfit_reason: Mapped[str | None] = mapped_column(
        comment="what its machine lacks for the work it is sent, by a stable word"
    )
    unfit_message: Mapped[str | None]
    unfit_until: Mapped[datetime | None] = mapped_column(
        comment="it takes nothing before then, and tries again"
    )
    unfit_models: Mapped[list[int] | None] = mapped_column(
        ARRAY(BigInteger),
        comment="the models that it lacks that for; NULL: whatever it is to do",
    )


class Election(Base):
    """An office that one process at a time holds, for as long as it renews it."""

    __tablename__ = "elections"

    office: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str] = mapped_column(comment="a process by its name")
    elected_at: Mapped[datetime]
    held_until: Mapped[datetime] = mapped_column(comment="then anybody may take it")
    done_at: Mapped[datetime | None] = mapped_column(
        comment="when whoever held it last did what it is for; NULL: never"
    )
