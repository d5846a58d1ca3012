"""An invented world crawled, trained on, scored and compared, without YouTube or workers."""

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from db.partitions import ensure_partitions
from db.queries.catalog import channels, thumbnails, videos
from db.queries.learning import model_versions
from db.queries.work import jobs
from ml.thumbnails.backbones.cnn import CnnConfig
from ml.thumbnails.models.ladder import LadderConfig, dataset_images, train_ladder
from services.context import Context
from services.emulator.catalog import Catalog
from services.learning.artifacts import put_folder
from services.learning.thumbnails import comparison, datasets, scoring, selection
from services.learning.thumbnails.extraction import ExtractionPlan, open_extractor
from services.work import jobs as services_jobs

SMALL = LadderConfig(cnn=CnnConfig(widths=(4, 8), epochs=2))

Titles = Callable[[str, str], str | None]


def store_world(
    context: Context, catalog: Catalog, *, title: Titles = lambda _id, title: title
) -> None:
    """Write a catalogue's channels, videos, counts at its epoch and pictures, as a crawl would.

    Args:
        context: Database and object store to fill.
        catalog: The world.
        title: Told a channel's or video's id and title, returns the title to store.
    """
    now = catalog.epoch
    with context.transaction() as session:
        ensure_partitions(session.connection(), start=now)
        channels.add(session, list(catalog.channels), now=now)
        for channel in catalog.channels.values():
            facts = {
                "channel_id": channel.channel_id,
                "title": title(channel.channel_id, channel.title),
            }
            channels.refresh(session, facts, now=now)
        channels.append_snapshots(
            session,
            [
                {
                    "channel_id": channel.channel_id,
                    "slot": now,
                    "captured_at": now,
                    "subscriber_count": None if channel.hidden_subscribers else channel.subscribers,
                }
                for channel in catalog.channels.values()
            ],
        )
        world = list(catalog.videos.values())
        columns = ("video_id", "channel_id", "published_at")
        videos.add(session, [{c: getattr(v, c) for c in columns} for v in world], now=now)
        titles = [{"video_id": v.video_id, "title": title(v.video_id, v.title)} for v in world]
        videos.refresh(session, titles, now=now)
        videos.append_snapshots(
            session,
            [
                {
                    "video_id": v.video_id,
                    "slot": now,
                    "captured_at": now,
                    "view_count": round(v.views.total(now - v.published_at)),
                }
                for v in world
            ],
        )
        pictures = [catalog.picture(v.thumbnails[0].key) for v in world]
        hashes = context.store.put_many(pictures)
        fetched = [
            thumbnails.StoredThumbnail(
                v.video_id, sha256, "jpeg", 320, 180, len(content), "mqdefault", None
            )
            for v, sha256, content in zip(world, hashes, pictures, strict=True)
        ]
        thumbnails.record_thumbnails(session, fetched, now=now)


def learn(context: Context, *, threshold: float = 100.0, config: LadderConfig = SMALL) -> None:
    """Freeze, train, score and compare as the jobs do, with networks that train in seconds."""
    frozen = datasets.freeze(context, selection.Request(threshold=threshold))
    with tempfile.TemporaryDirectory() as folder:
        dataset = datasets.fetch(context, frozen.dataset_id, Path(folder) / "dataset")
        plan = ExtractionPlan(open_extractor(context) if config.backbone else None)
        image_features = plan.at(dataset, lambda *_: None)
        ladder = train_ladder(
            dataset, dataset_images(dataset), config, image_features=image_features
        )
        files = {
            rung: put_folder(context.store, artefact)
            for rung, artefact in ladder.save(Path(folder) / "models").items()
        }
    with context.transaction() as session:
        for rung, rung_files in files.items():
            model_versions.add(
                session,
                task="thumbnails",
                rung=rung,
                dataset_id=frozen.dataset_id,
                job_id=None,
                trained_at=context.clock(),
                code_version="0.1.0",
                seed=config.seed,
                config=asdict(config),
                files=rung_files,
            )
    _run_job(context, "score", scoring.score)
    _run_job(context, "compare", comparison.compare)


def _run_job(context: Context, kind: str, work: services_jobs.JobWork) -> None:
    job_id = services_jobs.submit(context, kind, {})
    with context.transaction() as session:
        (job,) = jobs.claim(
            session, kinds=[kind], limit=1, now=context.clock(), lease=context.lease
        )
        token = job.lease_token
    assert token is not None
    assert services_jobs.run(context, job_id, token, work) == "succeeded"
