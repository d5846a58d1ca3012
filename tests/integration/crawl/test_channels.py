"""The list of watched channels: bulk adding with a report per line, tags, pauses, forgetting."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from services.context import Context
from services.crawl import intake, runs, watchlist
from services.crawl.intake import ADDED, KNOWN, MALFORMED, NOT_ASKED, NOT_FOUND, REFUSED, SAME
from services.crawl.sources import NamedChannel, read_channels
from services.emulator.catalog import Catalog
from services.emulator.faults import FaultPlan
from services.emulator.synthetic import synthetic_catalog
from services.errors import PermanentError, UsageError
from tests.support.cli import pointing_at, settings_of, tubegrader
from tests.support.crawl import NOW, counts, offline_crawl, rows, value
from tests.support.databases import owner_engine
from tests.support.emulator import fetch

NOBODY = "UC" + "0" * 22


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return synthetic_catalog(seed=3, epoch=NOW, channels=3, videos=40)


def lines(*texts: str) -> list[NamedChannel]:
    return [NamedChannel(i, text) for i, text in enumerate(texts, start=1)]


def statuses(outcomes: list[intake.Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


def test_every_line_gets_its_outcome_and_none_stops_the_others(context: Context, catalog: Catalog):
    one, two, three = sorted(catalog.channels)
    handle = catalog.channels[two].handle or ""
    feed = f"https://www.youtube.com/feeds/videos.xml?channel_id={three}"
    with offline_crawl(context, catalog, watch=False) as crawl:
        outcomes = intake.add(
            crawl.context,
            lines(
                one, "two words", NOBODY, handle, "@nobody-of-that-name", feed, one, "", "\0\x1b"
            ),
        )
        assert statuses(outcomes) == [
            *(ADDED, MALFORMED, NOT_FOUND, ADDED, NOT_FOUND),
            *(ADDED, SAME, MALFORMED, MALFORMED),
        ]
        assert [o.line for o in outcomes] == list(range(1, 10))
        assert [o.channel_id for o in outcomes if not o.failed] == [one, two, three, one]
        assert "\x1b" not in outcomes[-1].text
        before, charged = counts(context), crawl.charged()
        again = intake.add(crawl.context, lines(three, two, handle.upper(), one))
        assert statuses(again) == [KNOWN, KNOWN, SAME, KNOWN]
        assert counts(context) == before
        assert crawl.charged() == charged  # what is known costs nothing
        crawl.settle()
    assert value(context, "SELECT count(*) FROM videos") == len(catalog.videos)


def test_a_channel_named_twice_is_added_once_and_the_counts_add_up(
    context: Context, catalog: Catalog
):
    one, two, three = sorted(catalog.channels)
    handle = catalog.channels[one].handle or ""
    listed = lines(handle, one, f"youtube.com/channel/{one}", handle.upper(), two)
    with offline_crawl(context, catalog, watch=False) as crawl:
        intake.add(crawl.context, lines(three))
        found = statuses(intake.add(crawl.context, [*listed, *lines(three, three)]))
    assert found == [ADDED, SAME, SAME, SAME, ADDED, KNOWN, SAME]


def test_a_channel_that_the_database_refuses_fails_alone(context: Context, catalog: Catalog):
    one, two, three = sorted(catalog.channels)
    handle = catalog.channels[three].handle or ""
    with owner_engine(context) as engine, engine.begin() as connection:
        rule = f"CHECK (channel_id <> '{two}' OR title IS NULL) NOT VALID"
        connection.execute(text(f"ALTER TABLE channels ADD CONSTRAINT refused_here {rule}"))
        rule = f"CHECK (channel_id <> '{three}') NOT VALID"
        connection.execute(text(f"ALTER TABLE channels ADD CONSTRAINT refused_too {rule}"))
    with offline_crawl(context, catalog, watch=False) as crawl:
        outcomes = intake.add(crawl.context, lines(two, one, handle), tags=["panel"])
        assert statuses(outcomes) == [REFUSED, ADDED, REFUSED]
        assert all("refused" in (o.message or "") for o in outcomes if o.failed)
        assert [o["tags"] for o in watchlist.overview(crawl.context)] == [["panel"]]
        with pytest.raises(PermanentError, match="the database refuses it") as caught:
            intake.add_all(crawl.context, [one, two])
        assert caught.value.reason == "refusedByDatabase"
    assert counts(context)["channels"] == 1


def test_without_quota_the_rest_is_not_asked_and_can_be_added_later(
    context: Context, catalog: Catalog
):
    handles = [channel.handle or "" for channel in catalog.channels.values()]
    with offline_crawl(context, catalog, watch=False, settings={"youtube_daily_units": 2}) as crawl:
        # Two units, one of them kept for each of two other purposes until late in the day.
        outcomes = intake.add(crawl.context, lines("nonsense!", *handles))
        found = statuses(outcomes)
        assert found[0] == MALFORMED
        assert NOT_ASKED in found[1:]
        assert set(found[1:]) <= {ADDED, NOT_ASKED}
        assert all("quota" in (o.message or "") for o in outcomes if o.status == NOT_ASKED)
        crawl.turn(days=1)
        crawl.context.__dict__.pop("youtube").close()
        crawl.context.settings = crawl.context.settings.model_copy(
            update={"youtube_daily_units": 100}
        )
        later = statuses(intake.add(crawl.context, lines(*handles)))
        assert set(later) <= {ADDED, KNOWN}


def test_a_network_that_is_away_is_asked_twice_and_not_for_every_line(
    context: Context, catalog: Catalog
):
    handles = [channel.handle or "" for channel in catalog.channels.values()]
    with offline_crawl(context, catalog, watch=False) as crawl:
        plan = FaultPlan(rates={"channels.list": {"server_error": 1.0}})
        fetch(f"{crawl.url}/emulator/faults", data=plan.model_dump_json().encode())
        crawl.context.youtube._wait = lambda _s: None
        outcomes = intake.add(crawl.context, lines(*handles))
        assert statuses(outcomes) == [NOT_ASKED] * 3
        assert crawl.served()["channels.list"] == {"500": 6}  # two, tried three times each
    assert counts(context)["channels"] == 0


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("# mine\n\n UCa \r\n@b\n", [(3, "UCa"), (4, "@b")]),
        ("\ufeff@a\n", [(1, "@a")]),
        ("@a,note\n\n@b,other\n", [(1, "@a"), (3, "@b")]),
        ("title;Channel\nx;@a\ny\n", [(2, "@a"), (3, "y")]),
        ("Channel\n@a\n", [(2, "@a")]),
        (
            "Channel Id,Channel Url,Channel Title\nUCa,http://x/channel/UCa,A\n",
            [(2, "UCa")],
        ),
        ('handle\n"@a"\n', [(2, "@a")]),
        (
            (
                '<?xml version="1.0"?>\n<opml><body><outline text="Subscriptions">\n'
                '<outline type="rss" xmlUrl="https://www.youtube.com/feeds/videos.xml?channel_id=UCa"/>'
                '\n<outline text="x" xmlUrl="https://example.org/feed"/></outline></body></opml>'
            ),
            [
                (3, "https://www.youtube.com/feeds/videos.xml?channel_id=UCa"),
                (4, "https://example.org/feed"),
            ],
        ),
        ("", []),
    ],
)
def test_the_format_of_a_file_is_recognised_by_its_content(content, expected):
    found = read_channels(content.encode(), "file")
    assert [(entry.line, entry.text) for entry in found] == expected


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE o [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefg", "bcdefgh", strict=True))
    + ']><opml><body><outline xmlUrl="&h;"/></body></opml>'
)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\xff", "not text"),
        (b"@a\x00\n", "NUL"),
        (b"x" * 10_000_001, "larger than 10 MB"),
        (BOMB.encode(), "entities"),
        (b"<opml><body>", "begins like XML"),
        (b'<!DOCTYPE o [<!ENTITY x SYSTEM "file:///etc/passwd">]><o>&x;</o>', "entities"),
        (b'a,"' + b"x" * 200_000 + b'"\n', "no CSV"),
    ],
)
def test_a_hostile_file_is_refused_in_one_line(content, why):
    with pytest.raises(UsageError, match=why) as caught:
        read_channels(content, "list.txt")
    assert str(caught.value).startswith("list.txt cannot be used")
    assert "\n" not in str(caught.value)


def test_the_language_of_a_hand_is_never_overwritten(context: Context, catalog: Catalog):
    one, two, three = sorted(catalog.channels)
    spoken = {
        v: replace(video, language={one: "en-GB", two: "zh-Hans"}.get(video.channel_id))
        for v, video in catalog.videos.items()
    }
    world = replace(catalog, videos=spoken)
    query = "SELECT language, language_source FROM channels ORDER BY channel_id"
    with offline_crawl(context, world) as crawl:
        crawl.settle()
        crawl.turn(days=1)
        crawl.settle()
        assert rows(context, query) == [("en", "metadata"), ("zh", "metadata"), (None, None)]
        intake.add(crawl.context, lines(two, three), language="EN")
        crawl.turn(days=1)
        crawl.settle()
        assert rows(context, query) == [("en", "metadata"), ("en", "hand"), ("en", "hand")]
        with pytest.raises(UsageError):
            intake.add(crawl.context, lines(one), language="English")


def test_tags_are_added_once_found_and_removed(context: Context, catalog: Catalog):
    one, two, _ = sorted(catalog.channels)
    with offline_crawl(context, catalog, watch=False) as crawl:
        intake.add(crawl.context, lines(*catalog.channels), tags=["panel"])
        handle = catalog.channels[one].handle or ""
        assert watchlist.tag(crawl.context, [handle, two], ["新闻", "panel"], remove=False) == 2
        assert [c["channel_id"] for c in watchlist.overview(crawl.context, tag="新闻")]
        assert watchlist.facts(crawl.context, one)["tags"] == ["panel", "新闻"]
        assert watchlist.tag(crawl.context, [one], ["panel"], remove=True) == 1
        assert {c["channel_id"] for c in watchlist.overview(crawl.context, tag="panel")} == (
            set(catalog.channels) - {one}
        )
        for wrong in ("", "a,b", "x" * 101, "a\nb"):
            with pytest.raises(UsageError):
                watchlist.tag(crawl.context, [one], [wrong], remove=False)
        with pytest.raises(UsageError, match="not watched"):
            watchlist.tag(crawl.context, [NOBODY], ["x"], remove=False)


def test_nothing_of_a_paused_channel_is_collected_until_it_is_resumed(
    context: Context, catalog: Catalog
):
    paused = min(catalog.channels)
    mine = "SELECT count(*) FROM video_snapshots JOIN videos USING (video_id) WHERE channel_id = :c"
    with offline_crawl(context, catalog) as crawl:
        crawl.settle()
        before = value(context, mine, c=paused)
        assert watchlist.set_paused(crawl.context, [paused], paused=True) == [paused]
        assert watchlist.set_paused(crawl.context, [paused], paused=True) == []
        crawl.turn(days=31)
        crawl.settle()
        assert value(context, mine, c=paused) == before
        assert value(context, "SELECT count(*) FROM video_snapshots") == 80 - before
        assert [c["channel_id"] for c in watchlist.overview(context, state="paused")] == [paused]
        assert crawl.run().state == "succeeded"  # a crawl of all goes without it
        assert value(context, mine, c=paused) == before
        watchlist.set_paused(crawl.context, [paused], paused=False)
        crawl.settle()
        assert value(context, mine, c=paused) == 2 * before
        watchlist.set_paused(crawl.context, list(catalog.channels), paused=True)
        with pytest.raises(UsageError, match="paused"):
            runs.start(crawl.context)


def test_forgetting_removes_what_nobody_else_needs(context: Context, catalog: Catalog):
    gone = min(catalog.channels)
    own = [v for v in catalog.videos.values() if v.channel_id == gone]
    other = next(v for v in catalog.videos.values() if v.channel_id != gone)
    shared = replace(own[0], thumbnails=other.thumbnails)
    world = replace(catalog, videos={**catalog.videos, shared.video_id: shared})
    with offline_crawl(context, world) as crawl:
        crawl.settle()
        before = counts(context)
        plan = watchlist.forget(crawl.context, gone, dry_run=True)
        assert counts(context) == before
        assert (plan.videos, plan.video_snapshots) == (len(own), len(own))
        assert plan.thumbnails == len(own) - 1
        assert watchlist.forget(crawl.context, gone) == plan
        after = counts(context)
        assert after["channels"] == 2
        assert after["videos"] == before["videos"] - len(own)
        assert after["objects"] == before["objects"] - plan.thumbnails
        assert after["thumbnails"] == after["objects"]
        left = rows(context, "SELECT thumbnail_sha256 FROM thumbnails")
        context.store.get_many([sha256 for (sha256,) in left])
        with pytest.raises(UsageError, match="not watched"):
            watchlist.forget(crawl.context, gone)
        crawl.turn(days=2)
        crawl.settle()
        [outcome] = intake.add(crawl.context, lines(gone))
        assert outcome.status == ADDED


def test_a_picture_that_a_dataset_lists_is_kept(context: Context, catalog: Catalog):
    gone = min(catalog.channels)
    with offline_crawl(context, catalog) as crawl:
        crawl.settle()
        [(sha256,), *_] = rows(
            context,
            "SELECT thumbnail_sha256 FROM video_thumbnails JOIN videos USING (video_id) "
            "WHERE channel_id = :c",
            c=gone,
        )
        with context.transaction() as session:
            session.connection().exec_driver_sql(
                "INSERT INTO datasets VALUES (%s, now(), now(), 1, 1, 100, 0.5, %s, '{}', %s)",
                ("0" * 64, "0" * 64, json.dumps({"picture": sha256})),
            )
        plan = watchlist.forget(crawl.context, gone)
        assert (plan.kept_for_datasets, plan.datasets) == (1, 1)
        assert sha256 in crawl.context.store.names()


def test_the_command_reports_each_line_and_exits_with_one(
    context: Context, catalog: Catalog, tmp_path: Path
):
    one, two, _ = sorted(catalog.channels)
    file = tmp_path / "channels.csv"
    file.write_text(f"channel,why\n{one},good\nnonsense!,bad\n")
    with offline_crawl(context, catalog, watch=False) as crawl:
        env = settings_of(context) | pointing_at(crawl.url)
        added = tubegrader("channels", "add", two, "--from", str(file), "--json", env=env)
        assert added.code == 1
        outcomes = json.loads(added.out)
        assert [(o["line"], o["status"]) for o in outcomes] == [
            (1, ADDED),
            (2, ADDED),
            (3, MALFORMED),
        ]
        assert tubegrader("channels", "add", one, "--tag", "t", env=env).code == 0
        listed = json.loads(tubegrader("channels", "list", "--tag", "t", "--json", env=env).out)
        assert [c["channel_id"] for c in listed] == [one]
        assert len(json.loads(tubegrader("channels", "--json", env=env).out)) == 2
        shown = tubegrader("channels", "show", catalog.channels[one].handle or "", env=env)
        assert one in shown.out
        refused = tubegrader("channels", "forget", one, env=env)
        assert refused.code == 2
        assert tubegrader("channels", "forget", one, "--yes", env=env).code == 0
    assert rows(context, "SELECT channel_id FROM channels") == [(two,)]
