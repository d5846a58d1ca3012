"""Many videos, written by the database itself: for what must not grow with all that is stored."""

import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from db.models.learning import SPEECH, THUMBNAILS
from db.partitions import ensure_partitions
from db.queries.learning import datasets as dataset_rows
from db.queries.learning import evaluations, model_versions, promotions, unscored
from ml.artifacts import ModelCard
from ml.evaluation.splits import folds_of
from ml.thumbnails.data.dataset import Dataset, write_dataset
from ml.thumbnails.data.rows import Features, Targets
from ml.thumbnails.evaluation.evaluate import evaluate
from ml.thumbnails.models.rung import TrainingData
from ml.thumbnails.models.tabular import SubscribersAgeRung, SubscribersRung
from ml.thumbnails.models.thumbnail import SubscribersAgeThumbnailRung, SubscribersThumbnailRung
from services.context import Context
from services.crawl import runs
from services.learning.artifacts import put_folder, workspace
from services.learning.drift import measuring
from services.learning.report import contents
from services.learning.sampling import SAMPLED_OUT
from services.learning.speech import comparison as speech_comparison
from services.learning.speech import datasets as speech_datasets
from services.learning.thumbnails import comparison, datasets, scored, selection
from services.settings import Settings
from services.transfer.export import export
from services.transfer.importing import import_folder
from services.work import jobs
from tests.support.databases import owner_engine

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
OLDEST = timedelta(days=240)
PER_CHANNEL = 20
MOST = 5_000
"""Videos that a dataset is of, fewer than there are."""
RUNGS = tuple(
    rung.spec.name
    for rung in (
        SubscribersRung,
        SubscribersAgeRung,
        SubscribersThumbnailRung,
        SubscribersAgeThumbnailRung,
    )
)
FOLDS = 4
OF_ALL = "freeze and score speech"
"""The job whose result has as many rows as there are."""
_FILL = (
    """
    INSERT INTO channels (channel_id, title, added_at, published_at)
    SELECT 'UC' || lpad(i::text, 22, '0'), 'channel ' || i, :now, :now - interval '9 years'
    FROM generate_series(0, (:n - 1) / :each) i
    """,
    """
    INSERT INTO channel_snapshots (channel_id, slot, captured_at, subscriber_count)
    SELECT channel_id, :now, :now, 1000 + abs(hashtext(channel_id)) % 100000 FROM channels
    """,
    """
    INSERT INTO videos (video_id, channel_id, title, published_at, first_seen_at, refreshed_at,
                        duration_s, format)
    SELECT lpad(i::text, 11, '0'), 'UC' || lpad((i / :each)::text, 22, '0'),
           'the title of video number ' || i, at, at + interval '1 hour', at + interval '1 hour',
           60 + abs(hashtext(i::text)) % 900, 'long'
    FROM generate_series(0, :n - 1) i, LATERAL (
        SELECT CAST(:now AS timestamptz)
            - interval '1 second' * (1000000 + abs(hashtext('at' || i)) % 18000000) AS at
    ) published
    """,
    # By the channel and by chance, at the ages of six and eight days.
    """
    INSERT INTO video_snapshots (video_id, slot, captured_at, view_count)
    SELECT video_id, published_at + interval '1 day' * age, published_at + interval '1 day' * age,
           (age * 10 ^ (1 + (abs(hashtext(channel_id)) % 1000) / 500.0
                          + (abs(hashtext(video_id)) % 1000) / 1000.0))::bigint
    FROM videos, unnest(ARRAY[6, 8]) age
    """,
    """
    INSERT INTO thumbnails (thumbnail_sha256, format, width, height, byte_size, stored_at,
                            perceptual_hash)
    SELECT sha, 'jpeg', 320, 180, 11, :now,
           ('x' || substr(sha, 1, 16))::bit(64)::bigint & 9223372036854775807
    FROM videos, LATERAL (SELECT encode(sha256(video_id::bytea), 'hex') AS sha) s
    """,
    """
    INSERT INTO video_thumbnails (video_id, version, thumbnail_sha256, variant, is_current,
                                  first_seen_at, last_seen_at)
    SELECT video_id, 1, encode(sha256(video_id::bytea), 'hex'), 'mqdefault', true,
           first_seen_at, first_seen_at
    FROM videos
    """,
    """
    INSERT INTO work_items (kind, entity_id, channel_id, state, slot, ready_at, done_at)
    SELECT kind, video_id, channel_id, 'due', at, at, first_seen_at
    FROM videos, unnest(ARRAY['video.snapshot', 'video.thumbnail']) kind,
         LATERAL (SELECT CAST(:now AS timestamptz) + interval '1 day' AS at) later
    """,
)
_SPEAK = (
    """
    INSERT INTO audio_clips (video_id, version, is_current, audio_sha256, byte_size, container,
                             codec, sample_rate, channels, duration_s, kept_s, cutting_version,
                             allowed_by, fetched_at, last_seen_at)
    SELECT video_id, 1, true, encode(sha256(video_id::bytea), 'hex'), 1, 'webm', 'opus', 48000, 2,
           60, 20, '1', 'setting', :now, :now
    FROM videos
    """,
    """
    INSERT INTO speech_segments (clip_id, cutting_version, start_s, length_s, flac_sha256,
                                 byte_size, speech_share, level_dbfs, clipped_share)
    SELECT clip_id, '1', nth * 10, 9.5, encode(sha256((video_id || nth)::bytea), 'hex'), 1, 0.9,
           -20, 0
    FROM audio_clips, generate_series(1, 2) nth
    """,
    """
    INSERT INTO language_labels (video_id, language, labelled_by, labelled_at)
    SELECT video_id, CASE WHEN hashtext(channel_id) % 2 = 0 THEN 'en' ELSE 'zh' END, 'test', :now
    FROM videos
    """,
)


def context_in(url: str, folder: Path) -> Context:
    """A context on a database, with a home and an object store in a folder."""
    settings = Settings(
        home=folder / "home",
        database_url=url,
        storage_url=(folder / "objects").as_uri(),
        training_videos=MOST,
    )
    return Context(settings, lambda: NOW)


def fill(context: Context, n: int) -> None:
    """Write channels of ``PER_CHANNEL`` videos, each with two counts and a picture of no bytes."""
    values = {"n": n, "each": PER_CHANNEL, "now": NOW}
    with context.transaction() as session:
        ensure_partitions(session.connection(), start=NOW - OLDEST, end=NOW)
        for statement in (*_FILL, *_SPEAK):
            wanted = {name: value for name, value in values.items() if f":{name}" in statement}
            session.execute(text(statement), wanted)
    _analyse(context)


def learn(context: Context) -> None:
    """Freeze a dataset of ``MOST`` videos; score all videos with models of it, and compare them."""
    with workspace(context, "dataset") as folder:
        dataset = _freeze(context, folder)
        models = _models(context, dataset, folder)
        _score(context, list(models.values()))
        with context.transaction() as session:
            versions = model_versions.newest(session, task=THUMBNAILS)
        found = evaluate(dataset, comparison.out_of_fold(context, dataset, versions), resamples=20)
    with context.transaction() as session:
        evaluations.add(
            session,
            dataset_id=dataset.description.id,
            job_id=None,
            created_at=NOW,
            n_videos=found.n_videos,
            n_channels=found.n_channels,
            sentence=found.sentence,
            detail=found.as_json() | {"model_version_ids": models},
            metrics=[
                {
                    "rung": RUNGS[0],
                    "metric": "auc",
                    "baseline": "",
                    "model_version_id": models[RUNGS[0]],
                    "value": 0.5,
                    "low": 0.4,
                    "high": 0.6,
                }
            ],
        )
        promotions.set_alias(
            session,
            task=THUMBNAILS,
            alias=promotions.CHAMPION,
            model_version_id=models[RUNGS[0]],
            now=NOW,
        )


def _freeze(context: Context, folder: Path) -> Dataset:
    """Freeze as a training does, of pictures whose bytes are the id of their video."""
    rows = selection.select(context, selection.Request(label="day7"), NOW).rows
    keys = (rows[name].to_pylist() for name in ("thumbnail_sha256", "video_id"))
    ids = dict(zip(*keys, strict=True))
    where = folder / "dataset"
    described = write_dataset(rows, lambda name: ids[name].encode(), where, as_of=NOW).description
    with context.transaction() as session:
        dataset_rows.add(
            session,
            {
                "dataset_id": described.id,
                "as_of": NOW,
                "created_at": NOW,
                "n_videos": described.n_videos,
                "n_channels": described.n_channels,
                "threshold": described.threshold,
                "base_rate": described.base_rate,
                "videos_sha256": described.id,
                "excluded": {},
                "files": put_folder(context.store, where),
            },
        )
    return datasets.fetch_without_pictures(context, described.id, folder / "again")


def _models(context: Context, dataset: Dataset, folder: Path) -> dict[str, int]:
    card = ModelCard(dataset=dataset.description.id, seed=0, folds=FOLDS, threshold=100.0)
    plain = SubscribersRung.fit(
        TrainingData(
            Features.of_table(dataset.table),
            Targets(dataset.log10_views_per_day, dataset.is_over),
            folds_of(dataset.strings("split_group"), seed=0, folds=FOLDS),
            card,
        )
    )
    plain.save(folder / "model")
    files = put_folder(context.store, folder / "model")
    with context.transaction() as session:
        return {
            rung: model_versions.add(
                session,
                task=THUMBNAILS,
                rung=rung,
                dataset_id=dataset.description.id,
                job_id=None,
                trained_at=NOW,
                code_version="0.1.0",
                seed=0,
                config={"folds": FOLDS},
                files=files,
            ).model_version_id
            for rung in RUNGS
        }


def _score(context: Context, models: list[int]) -> None:
    statement = text(
        """
        INSERT INTO scores (video_id, thumbnail_sha256, model_version_id, probability_over,
                            log10_views_per_day, scored_at)
        SELECT video_id, thumbnail_sha256, model, (drawn % 1000) / 1000.0,
               1 + (abs(hashtext(channel_id)) % 1000) / 500.0 + (drawn % 1000) / 1000.0, :now
        FROM video_thumbnails JOIN videos USING (video_id)
        CROSS JOIN unnest(CAST(:models AS bigint[])) model
        CROSS JOIN LATERAL (SELECT abs(hashtext(video_id || model)) AS drawn) d
        """
    )
    with context.transaction() as session:
        session.execute(statement, {"now": NOW, "models": models})
    _analyse(context)


def _spoken(context: Context) -> None:
    """Freeze and compare speech; its datasets are of all segments, so memory grows by the rows."""
    frozen = speech_datasets.freeze(context)
    with context.transaction() as session:
        model = model_versions.add(
            session,
            task=SPEECH,
            rung="tdnn",
            dataset_id=frozen.dataset_id,
            job_id=None,
            trained_at=NOW,
            code_version="0.1.0",
            seed=0,
            config={},
            files={},
        )
        session.execute(
            text(
                """
                INSERT INTO language_scores (clip_id, segment_id, model_version_id, p_en, p_zh,
                                             p_unknown, language, scored_at)
                SELECT clip_id, segment_id, :model, 0.5, 0.25, 0.25, 'en', :now
                FROM speech_segments
                """
            ),
            {"model": model.model_version_id, "now": NOW},
        )
    rows = speech_datasets.fetch(context, frozen.dataset_id).rows
    scored_rows, _ = speech_comparison.scores_of(context, [model], rows)
    assert len(scored_rows["tdnn"].labels) == rows.num_rows


def _analyse(context: Context) -> None:
    with owner_engine(context) as engine, engine.connect() as connection:
        apart = connection.execution_options(isolation_level="AUTOCOMMIT")
        apart.execute(text("VACUUM ANALYZE"))


def _nothing(_context: Context) -> None:
    pass


def _dataset(context: Context, folder: Path) -> Dataset:
    with context.transaction() as session:
        newest = dataset_rows.newest(session)
    assert newest is not None
    return datasets.fetch_rows(context, newest, folder)


def _frozen(context: Context) -> None:
    request = selection.Request(pictures=False, force=True)
    frozen = datasets.freeze(context, request)
    assert frozen.excluded[SAMPLED_OUT] > 0


def _listed(context: Context) -> None:
    with workspace(context, "listing") as folder:
        dataset = _dataset(context, folder)
    with context.transaction() as session:
        models = [m.model_version_id for m in model_versions.newest(session, task=THUMBNAILS)]
    assert not len(scored.lacking(context, dataset.table, models))
    assert len(scored.lacking(context, dataset.table, [*models, 0])) == len(dataset)
    now = context.clock()
    with context.transaction() as session:
        assert unscored.count(session, model_version_ids=[0]) > len(dataset)
        page = unscored.page(session, model_version_ids=[0], before=None, limit=512)
        found = unscored.to_score(session, page.video_ids, model_version_ids=[0], now=now)
    assert len(found) == 512


def _compared(context: Context) -> None:
    with context.transaction() as session:
        models = model_versions.newest(session, task=THUMBNAILS)
    with workspace(context, "comparison") as folder:
        dataset = _dataset(context, folder)
        found = comparison.out_of_fold(context, dataset, models)
    assert found.num_rows == len(dataset) * len(models)


def _reported(context: Context) -> None:
    report = contents.gather(context)
    assert len(report.rows) == report.n_videos


def _drifted(context: Context) -> None:
    assert measuring.measure(context)["status"] in ("drift", "noDrift")


def _exported(context: Context) -> None:
    folder = context.settings.home / f"export {uuid.uuid4()}"
    written = export(context, folder, what=["videos", "snapshots"])
    assert written.rows["videos"] > MOST
    taken = import_folder(context, folder)
    assert taken.rows["videos.parquet"] == written.rows["videos"]
    assert taken.new["videos"] == 0


def _brought(context: Context) -> None:
    crawl = runs.start(context)
    while True:
        runs.advance(context)
        steps = jobs.view(context, crawl).steps
        if steps["brought"] == _channels(context):
            break


def _channels(context: Context) -> int:
    with context.transaction() as session:
        return int(session.execute(text("SELECT count(*) FROM channels")).scalar_one())


JOBS: Mapping[str, Callable[[Context], None]] = {
    "nothing": _nothing,
    "freeze": _frozen,
    "list what to score": _listed,
    "compare": _compared,
    "report": _reported,
    "drift": _drifted,
    "export and import": _exported,
    "bring forward": _brought,
    OF_ALL: _spoken,
}
"""What is done in a process of its own, by name."""
WORK = "from tests.support import masses; masses.do(*sys.argv[1:])"


def do(what: str, url: str, folder: str) -> None:
    """Do one of the jobs."""
    with closing(context_in(url, Path(folder))) as context:
        JOBS[what](context)
