"""What a user sees when it cannot work: one clear line, what to do, an exit code, no traces."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from services.context import Context
from services.emulator.quota import Quotas
from services.emulator.synthetic import synthetic_catalog
from tests.support.cli import Ran, pointing_at, settings_of, tubegrader
from tests.support.emulator import running_emulator

EPOCH = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def world():
    return synthetic_catalog(seed=1, epoch=EPOCH, channels=3, videos=12, effect=0.3)


def a_channel(world) -> str:
    return next(iter(world.channels))


def written(context: Context) -> dict[str, int]:
    """Rows of every table that a crawl writes to."""
    tables = ("channels", "videos", "work_items", "jobs", "video_snapshots", "channel_snapshots")
    with context.engine.connect() as connection:
        counts = {
            t: connection.execute(text(f"SELECT count(*) FROM {t}")).scalar_one() for t in tables
        }
    return {table: count for table, count in counts.items() if count}


def assert_refused(ran: Ran, context: Context, *words: str) -> None:
    assert ran.code in (1, 2), ran.err
    assert ran.complaint, ran.err
    assert len(ran.complaint) <= 2, ran.err
    said = " ".join(ran.complaint).lower()
    assert all(word.lower() in said for word in words), said
    assert "traceback" not in ran.err.lower()
    assert written(context) == {}


def test_no_key(context: Context, world):
    channel = a_channel(world)
    ran = tubegrader("crawl", channel, env=settings_of(context))
    assert_refused(ran, context, "key", "TUBEGRADER_YOUTUBE_API_KEY")


def test_wrong_key(context: Context, world):
    channel = a_channel(world)
    with running_emulator(world, keys=frozenset({"right"})) as youtube:
        env = settings_of(context) | pointing_at(youtube.url, key="wrong")
        ran = tubegrader("crawl", channel, env=env)
    assert_refused(ran, context, "API key", "TUBEGRADER_YOUTUBE_API_KEY")


@pytest.mark.parametrize("named", ["UC" + "x" * 22, "@nobody-is-called-that"])
def test_a_channel_that_is_not_there_leaves_the_others_out_too(context: Context, world, named):
    with running_emulator(world) as youtube:
        env = settings_of(context) | pointing_at(youtube.url)
        ran = tubegrader("crawl", a_channel(world), named, env=env)
    assert_refused(ran, context, named, "handle")


def test_a_crawl_reads_every_list_and_reports_the_lines_that_fail(
    context: Context, world, tmp_path: Path
):
    listed = tmp_path / "channels.csv"
    listed.write_text(f"title,channel_id\nA,{a_channel(world)}\nB,nonsense!\n")
    with running_emulator(world) as youtube:
        env = settings_of(context) | pointing_at(youtube.url)
        ran = tubegrader("crawl", "--from", str(listed), "--no-wait", env=env)
    assert ran.code == 1
    assert "line 3, nonsense!: malformed" in ran.err
    assert "1 added, 1 malformed" in ran.err
    assert written(context) == {"channels": 1, "work_items": 2, "jobs": 1}


def test_something_that_cannot_be_a_channel(context: Context):
    env = settings_of(context) | pointing_at("http://127.0.0.1:9")
    ran = tubegrader("crawl", "https://example.org/watch", env=env)
    assert_refused(ran, context, "channel")


def test_no_network(context: Context, world):
    env = settings_of(context) | pointing_at("http://127.0.0.1:9")  # nobody listens there
    ran = tubegrader("crawl", a_channel(world), env=env)
    assert_refused(ran, context, "network")


def test_no_quota_left(context: Context, world):
    with running_emulator(world, quotas=Quotas(units=0)) as youtube:
        env = settings_of(context) | pointing_at(youtube.url)
        ran = tubegrader("crawl", a_channel(world), env=env)
    assert_refused(ran, context, "quota", "UTC")


def test_nothing_to_crawl_train_or_compare(context: Context):
    env = settings_of(context)
    assert_refused(tubegrader("crawl", env=env), context, "no channel", "crawl @handle")
    assert_refused(tubegrader("compare", env=env), context, "nothing was compared", "train")
    assert_refused(tubegrader("report", env=env), context, "nothing was compared")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ("videos.csv",)),
        ("video_id,title\nabc,x\n", ("column",)),
        ("", ("videos.csv",)),
    ],
)
def test_a_bad_catalogue_is_refused_before_anything_is_made(
    tmp_path: Path, content: str | None, words: tuple[str, ...]
):
    catalog = tmp_path / "catalog"
    catalog.mkdir()
    if content is not None:
        (catalog / "videos.csv").write_text(content)
    home = tmp_path / "home"
    ran = tubegrader("demo", "--catalog", str(catalog), "--home", str(home))
    assert ran.code == 2
    assert len(ran.complaint) in (1, 2), ran.err
    assert all(word in " ".join(ran.complaint) for word in words), ran.err
    assert not home.exists()


def test_a_database_that_is_not_there(tmp_path: Path):
    env = {
        "TUBEGRADER_HOME": str(tmp_path / "home"),
        "TUBEGRADER_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
    }
    ran = tubegrader("channels", env=env)
    assert ran.code == 1
    assert 1 <= len(ran.complaint) <= 2, ran.err


def test_a_number_that_is_none_in_the_settings(tmp_path: Path):
    env = {"TUBEGRADER_HOME": str(tmp_path), "TUBEGRADER_LEASE_SECONDS": "soon"}
    ran = tubegrader("channels", env=env)
    assert ran.code == 2
    assert "TUBEGRADER_LEASE_SECONDS" in " ".join(ran.complaint), ran.err
