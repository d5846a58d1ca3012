"""Alerts of machines that run short, by their causes."""

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tests.support.databases import owned
from tests.support.disks import mounted
from tests.support.watched import Watched

pytestmark = pytest.mark.slow


def test_a_disk_that_cannot_be_asked_hides_no_other_figure(watched: Watched):
    settings = watched.context.settings
    far = f"file:///{'a' * 300}"  # no path at all, as one on a disk that fails is none any more
    watched.context.settings = settings.model_copy(update={"storage_url": far})
    try:
        found = watched.scrape()
    finally:
        watched.context.settings = settings
    assert any(name.startswith("tubegrader_database_up") for name in found)
    disks = {name for name in found if name.startswith("tubegrader_disk_bytes")}
    assert ["home" in name for name in disks] == [True]


def test_connections_run_short(watched: Watched):
    [[most]] = sql(watched, "SELECT current_setting('max_connections')::int")
    with ExitStack() as stack:
        url = owned(str(watched.context.settings.database_url))
        engine = create_engine(url, poolclass=NullPool)
        while watched.scrape()[CONNECTIONS] < 0.9 * most:
            stack.enter_context(engine.connect())
        assert watched.stays(minutes=10) == {"ConnectionsShort"}


def test_a_disk_fills_up(watched: Watched, tmp_path: Path):
    with mounted(tmp_path / "small", "10m") as disk:
        watched.context.settings = watched.context.settings.model_copy(update={"home": disk})
        watched.timeline.stays(watched.scrape(), timedelta(minutes=1))
        assert watched.stays(hours=1) == set()
        (disk / "fills").write_bytes(b"x" * 9_800_000)
        assert watched.stays(minutes=15) == {"DiskFillsUp"}
        (disk / "fills").unlink()
        # Room enough, but not for long.
        for size in range(72, 84, 2):
            (disk / "fills").write_bytes(b"x" * size * 100_000)
            watched.timeline.stays(watched.scrape(), timedelta(hours=1))
        assert watched.timeline.firing_about() == {("DiskFillsUp", "home")}
        watched.context.settings = watched.context.settings.model_copy(update={"home": tmp_path})


CONNECTIONS = 'tubegrader_connections{instance="api",job="tubegrader-api"}'


def sql(watched: Watched, statement: str, **values: object) -> list[tuple[object, ...]]:
    with watched.context.engine.begin() as connection:
        found = connection.execute(text(statement), values)
        return [tuple(row) for row in found] if found.returns_rows else []
