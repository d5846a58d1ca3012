"""The schema on real PostgreSQL: up, down, drift, partitions, and rules that hold."""

from datetime import UTC, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import IntegrityError

import db.models  # noqa: F401
from db import migrate
from db.base import Base
from db.partitions import ensure_partitions
from db.views import CURRENT, view_sql
from services.context import Context
from services.embedded import Endpoints
from tests.support.databases import EMPTY, own_database, owned, owner_engine

CHANNEL, VIDEO = "UC" + "a" * 22, "v" * 11
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def empty_database(endpoints: Endpoints):
    with own_database(owned(endpoints.database_url), "empty", template=EMPTY) as url:
        yield url


def relations(url: str) -> set[str]:
    engine = create_engine(url)
    with engine.connect() as connection:
        names = connection.execute(
            text(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
                "AND relkind IN ('r', 'p', 'v', 'S')"
            )
        ).scalars()
        found = set(names)
    engine.dispose()
    return found


def test_upgrade_twice_then_downgrade_leaves_nothing_behind(empty_database):
    assert migrate.upgrade(empty_database) is True
    assert migrate.upgrade(empty_database) is False
    assert {"channels", "video_snapshots", "scored_videos"} <= relations(empty_database)
    migrate.downgrade(empty_database, "base")
    assert relations(empty_database) == {"alembic_version"}
    assert migrate.upgrade(empty_database) is True


BEFORE_TASK_NAMES = """
    INSERT INTO datasets (dataset_id, task, as_of, created_at, n_videos, n_channels, threshold,
                          base_rate, videos_sha256, excluded, files)
    VALUES (repeat('1', 64), 'views', now(), now(), 2, 1, 100, 0.5, repeat('2', 64), '{}', '{}'),
           (repeat('3', 64), 'language', now(), now(), 2, 1, NULL, NULL, NULL, '{}', '{}');
    INSERT INTO model_versions (rung, version, dataset_id, trained_at, code_version, seed, config,
                                files, task)
    VALUES ('constant', 1, repeat('1', 64), now(), '0.1.0', 0, '{}', '{}', 'views'),
           ('cnn', 1, repeat('3', 64), now(), '0.1.0', 0, '{}', '{}', 'language');
    INSERT INTO model_aliases (task, alias, model_version_id, set_at)
    SELECT task, 'champion', model_version_id, now() FROM model_versions;
    INSERT INTO promotions (task, decided_at, decision, challenger_version_id, ground, reason,
                            figures)
    SELECT task, now(), 'promoted', model_version_id, 'firstChampion', 'The first.', '{}'
    FROM model_versions;
    INSERT INTO evaluations (dataset_id, created_at, n_videos, n_channels, sentence, detail)
    SELECT dataset_id, now(), 2, 1, 'Good.', '{}' FROM datasets;
    INSERT INTO evaluation_metrics (evaluation_id, rung, metric, model_version_id, value, low, high)
    SELECT evaluation_id, rung, 'auc', model_version_id, 0.7, 0.6, 0.8
    FROM evaluations JOIN model_versions USING (dataset_id);
"""


def test_tasks_keep_their_data_models_and_champions_under_their_new_names(empty_database):
    migrate.upgrade(empty_database, "0010")
    engine = create_engine(empty_database)

    def tasks(statement: str) -> list[tuple]:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    def everything() -> list[list[tuple]]:
        tables = ("datasets", "model_versions", "model_aliases", "promotions")
        return [tasks(f"SELECT task FROM {table} ORDER BY task DESC") for table in tables] + [
            tasks("SELECT task, rung, is_champion FROM champion_ladders ORDER BY task DESC"),
            tasks("SELECT task, rung, is_newest, value FROM model_comparison ORDER BY task DESC"),
            tasks("SELECT task, challenger_rung FROM promotion_history ORDER BY task DESC"),
        ]

    with engine.begin() as connection:
        connection.execute(text(BEFORE_TASK_NAMES))
    before = everything()
    assert before[4] == [("views", "constant", True), ("language", "cnn", True)]
    migrate.upgrade(empty_database)
    names = {"views": "thumbnails", "language": "speech"}
    assert everything() == [[(names[task], *rest) for task, *rest in rows] for rows in before]
    for refused in (
        "UPDATE datasets SET task = 'views'",
        "UPDATE datasets SET threshold = NULL WHERE task = 'thumbnails'",
        "UPDATE model_aliases SET task = 'thumbnails' WHERE task = 'speech'",
    ):
        with engine.connect() as connection, pytest.raises(IntegrityError):
            connection.execute(text(refused))
    migrate.downgrade(empty_database, "0010")
    assert everything() == before
    engine.dispose()


PICTURES = """
    INSERT INTO thumbnails (thumbnail_sha256, format, width, height, byte_size, stored_at)
    SELECT encode(sha256(i::text::bytea), 'hex'), 'jpeg', 320, 180, 9, now()
    FROM generate_series(1, 3) i
"""


def test_embeddings_find_their_tables_beside_what_is_there(empty_database):
    migrate.upgrade(empty_database, "0022")
    engine = create_engine(empty_database)
    with engine.begin() as connection:
        connection.execute(text(PICTURES))
    migrate.upgrade(empty_database)
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO embedding_recipes (recipe, width, used_at) VALUES ('r', 2, now())")
        )
        connection.execute(
            text(
                "INSERT INTO embedding_packs (pack_sha256, recipe_id, n_rows, first_byte, "
                "byte_size, stored_at) VALUES (repeat('1', 64), 1, 3, 8, 99, now())"
            )
        )
        connection.execute(
            text(
                "INSERT INTO embeddings (pack_id, checksum, recipe_id, pack_row, picture) "
                "SELECT 1, 0, 1, row_number() OVER (), decode(thumbnail_sha256, 'hex') "
                "FROM thumbnails"
            )
        )
    for refused in (
        "UPDATE embeddings SET picture = '\\x00'",
        "INSERT INTO embeddings SELECT * FROM embeddings",
        "UPDATE embeddings SET pack_id = 2",
        "UPDATE embedding_packs SET pack_sha256 = 'x'",
    ):
        with engine.connect() as connection, pytest.raises(IntegrityError):
            connection.execute(text(refused))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM embedding_recipes"))
        assert connection.execute(text("SELECT count(*) FROM embeddings")).scalar_one() == 0
    migrate.downgrade(empty_database, "0022")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM thumbnails")).scalar_one() == 3
    engine.dispose()


UPKEEP = "SELECT name, cron, next_slot FROM schedules WHERE kind = 'upkeep' ORDER BY name"


@pytest.mark.parametrize(
    ("touched", "found"),
    [
        ("SELECT 1", [("daily-upkeep", "15 4 * * *", None)]),
        (
            "UPDATE schedules SET cron = '0 1 * * MON' WHERE name = 'weekly-upkeep'",
            [("weekly-upkeep", "0 1 * * MON", NOW)],
        ),
        (
            "UPDATE schedules SET removed_at = now() WHERE name = 'weekly-upkeep'",
            [("weekly-upkeep", "15 4 * * SUN", NOW)],
        ),
        (
            (
                "INSERT INTO schedules (name, kind, cron, created_at) "
                "VALUES ('daily-upkeep', 'upkeep', '0 2 * * *', now())"
            ),
            [("daily-upkeep", "0 2 * * *", None), ("weekly-upkeep", "15 4 * * SUN", NOW)],
        ),
    ],
)
def test_upkeep_comes_daily_where_nobody_changed_its_schedule(empty_database, touched, found):
    migrate.upgrade(empty_database, "0015")
    engine = create_engine(empty_database)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE schedules SET next_slot = :next WHERE name = 'weekly-upkeep'"),
            {"next": NOW},
        )
        connection.execute(text(touched))
    migrate.upgrade(empty_database)
    with engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(text(UPKEEP))] == found
    engine.dispose()


def test_models_and_migrations_agree(context: Context):
    def only_ours(item, name, type_, reflected, other):
        return not (type_ == "table" and reflected and name.startswith("video_snapshots_"))

    with context.engine.connect() as connection:
        compared = MigrationContext.configure(
            connection, opts={"include_object": only_ours, "compare_server_default": True}
        )
        assert compare_metadata(compared, Base.metadata) == []


def test_views_in_the_database_are_the_current_files(context: Context):
    def definitions(connection: Connection) -> dict[str, str]:
        rows = connection.execute(
            text("SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'")
        )
        return dict(rows.all())

    with owner_engine(context) as engine, engine.connect() as connection:
        migrated = definitions(connection)
        for name in migrated:
            connection.execute(text(f"DROP VIEW IF EXISTS {name} CASCADE"))
        for name, version in CURRENT.items():
            connection.execute(text(view_sql(name, version)))
        assert definitions(connection) == migrated
        connection.rollback()


def test_every_view_and_each_of_its_unclear_columns_has_a_comment(context: Context):
    with context.engine.connect() as connection:
        for name in CURRENT:
            said = connection.execute(
                text("SELECT obj_description(CAST(:n AS regclass))"), {"n": name}
            ).scalar_one()
            assert said


def test_partitions_are_made_ahead_once_and_take_rows(context: Context):
    with context.engine.begin() as connection:
        made = ensure_partitions(connection, start=datetime(2031, 12, 28, 9, tzinfo=UTC))
        assert made == [
            f"video_snapshots_{day}"
            for day in (
                *(f"2031_12_{day}" for day in range(28, 32)),
                *(f"2032_01_0{day}" for day in range(1, 5)),
            )
        ]
        assert ensure_partitions(connection, start=datetime(2031, 12, 29, tzinfo=UTC)) == [
            "video_snapshots_2032_01_05"
        ]


def add_video(connection: Connection) -> None:
    connection.execute(
        text("INSERT INTO channels (channel_id, added_at) VALUES (:c, :now)"),
        {"c": CHANNEL, "now": NOW},
    )
    connection.execute(
        text(
            "INSERT INTO videos (video_id, channel_id, published_at, first_seen_at) "
            "VALUES (:v, :c, :now, :now)"
        ),
        {"v": VIDEO, "c": CHANNEL, "now": NOW},
    )


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO channels (channel_id, added_at) VALUES ('UCshort', now())",
        "UPDATE channels SET state = 'sleepy'",
        "UPDATE videos SET live_broadcast_content = 'maybe'",
        "UPDATE videos SET video_id = '../../../etc'",
        (
            "INSERT INTO video_snapshots (video_id, slot, captured_at, view_count) "
            "VALUES ('vvvvvvvvvvv', now(), now(), -1)"
        ),
        (
            "INSERT INTO video_snapshots (video_id, slot, captured_at) "
            "VALUES ('unknown____', now(), now())"
        ),
        "INSERT INTO thumbnails VALUES ('beef', 'jpeg', 1, 1, 1, now())",
        (
            "INSERT INTO work_items (kind, entity_id, channel_id, state) "
            f"VALUES ('video.snapshot', 'vvvvvvvvvvv', '{CHANNEL}', 'leased')"
        ),
        (
            "INSERT INTO work_items (kind, entity_id, channel_id, state, slot) "
            f"VALUES ('video.snapshot', 'vvvvvvvvvvv', '{CHANNEL}', 'failed', now())"
        ),
        (
            "INSERT INTO jobs (job_id, kind, params, state, created_at) "
            "VALUES (gen_random_uuid(), 'crawl', '{}', 'failed', now())"
        ),
    ],
)
def test_the_database_refuses_what_cannot_be(context: Context, statement: str):
    with context.engine.connect() as connection:
        ensure_partitions(connection, start=datetime.now(UTC))
        add_video(connection)
        with pytest.raises(IntegrityError):
            connection.execute(text(statement))


def test_a_video_shows_one_thumbnail_at_a_time(context: Context):
    insert = text(
        "INSERT INTO video_thumbnails (video_id, version, thumbnail_sha256, variant, is_current, "
        "first_seen_at, last_seen_at) VALUES (:v, :n, :sha, 'mqdefault', true, :now, :now)"
    )
    sha = "0" * 64
    with context.engine.connect() as connection:
        add_video(connection)
        connection.execute(
            text("INSERT INTO thumbnails VALUES (:sha, 'jpeg', 320, 180, 9000, :now)"),
            {"sha": sha, "now": NOW},
        )
        connection.execute(insert, {"v": VIDEO, "n": 1, "sha": sha, "now": NOW})
        with pytest.raises(IntegrityError):
            connection.execute(insert, {"v": VIDEO, "n": 2, "sha": sha, "now": NOW})


def test_partition_bounds_are_utc_days_whatever_the_session_says(context: Context):
    with context.engine.connect() as connection:
        connection.execute(text("SET timezone = 'America/Los_Angeles'"))
        ensure_partitions(
            connection,
            start=datetime(2033, 1, 31, tzinfo=UTC),
            end=datetime(2033, 1, 31, tzinfo=UTC),
        )
        add_video(connection)
        last = datetime(2033, 2, 1, tzinfo=UTC) - timedelta(seconds=1)
        connection.execute(
            text("INSERT INTO video_snapshots (video_id, slot, captured_at) VALUES (:v, :t, :t)"),
            {"v": VIDEO, "t": last},
        )
        found = connection.execute(
            text("SELECT tableoid::regclass::text FROM video_snapshots")
        ).scalar_one()
        assert found == "video_snapshots_2033_01_31"


def test_channels_with_work_of_their_own_are_those_that_were_watched(empty_database):
    migrate.upgrade(empty_database, "0021")
    engine = create_engine(empty_database)
    ids = {"a": "UC" + "a" * 22, "b": "UC" + "b" * 22}
    known = "INSERT INTO channels (channel_id, added_at) VALUES (:a, now()), (:b, now())"
    work = """
        INSERT INTO work_items (kind, entity_id, channel_id, state)
        VALUES ('channel.discover', :a, :a, 'idle'), ('video.snapshot', 'v', :b, 'idle')
    """
    with engine.begin() as connection:
        connection.execute(text(known), ids)
        connection.execute(text(work), ids)
    migrate.upgrade(empty_database)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT watched FROM channels ORDER BY channel_id"))
        assert found.scalars().all() == [True, False]
    engine.dispose()
