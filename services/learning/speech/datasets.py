"""Datasets of speech: which segments were labelled how at one moment, frozen as a table.

The table names the sound by its hash and does not hold it: sound is kept for as long as its
retention or its approval lasts, and a dataset must not prolong that.
"""

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from db.models.learning import SPEECH
from db.queries.catalog import channels
from db.queries.learning import datasets
from db.queries.speech import languages
from db.queries.speech import segments as speech_learning
from db.queries.speech.languages import LabelledSegment
from ml.speech.data.manifest import LANGUAGES, Clip, Manifest
from services.context import Context
from services.errors import PermanentError, UsageError
from services.learning.artifacts import get_folder, put_folder, workspace
from services.learning.sampling import SAMPLED_OUT, Sample

MANIFEST, DESCRIPTION = "segments.parquet", "dataset.json"
CONFLICTS = ("drop", "keep")
FEWEST_SPEAKERS = 2
"""Of each language: one is learned from while the other is evaluated."""
PAGE = 5_000
_HASHED_AS = "language"
"""The task's name in what a dataset's id is the hash of: as when the first ones were frozen, so
that the same segments stay the same dataset."""
SCHEMA = pa.schema(
    [
        pa.field("segment_id", pa.int64(), nullable=False),
        pa.field("clip_id", pa.int64(), nullable=False),
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("flac_sha256", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("label_source", pa.string(), nullable=False),
        pa.field("speaker", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("recording", pa.string(), nullable=False),
        pa.field("codec", pa.string(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("speech_share", pa.float64(), nullable=False),
        pa.field("level_dbfs", pa.float64(), nullable=False),
        pa.field("snr_db", pa.float64()),
        pa.field("clipped_share", pa.float64(), nullable=False),
    ]
)
"""One row a segment. ``speaker`` is the channel; ``source`` the channel, or the group its tag
``source:NAME`` puts it in; ``recording`` the hash of the audio it was cut from."""


@dataclass(frozen=True)
class Request:
    """Which dataset is asked for.

    Attributes:
        conflicts: ``drop`` leaves out segments whose claims name several languages, unless
            somebody decided by hand; ``keep`` takes the label in force.
        shortest_s: Shorter segments are left out, in seconds.
    """

    conflicts: str = "drop"
    shortest_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.conflicts not in CONFLICTS:
            raise UsageError(
                f"conflicting labels cannot be “{self.conflicts}”",
                hint=f"use {' or '.join(CONFLICTS)}",
            )


@dataclass(frozen=True)
class SpeechDataset:
    """A frozen dataset; ``is_new`` tells whether it was frozen just now.

    Attributes:
        dataset_id: The hash of what is in it and of how it was chosen.
        rows: In ``SCHEMA``.
        excluded: Segments left out, by reason.
        is_new: Whether it was not there before.
    """

    dataset_id: str
    rows: pa.Table
    excluded: dict[str, int]
    is_new: bool

    @property
    def manifest(self) -> Manifest:
        """The segments as speech models take them, in the order of the rows."""
        return Manifest(tuple(_clip(row) for row in self.rows.to_pylist()))


def freeze(context: Context, request: Request | None = None) -> SpeechDataset:
    """Freeze the segments with a label in force; the same ones are the same dataset.

    Raises:
        PermanentError: ``noSpeech``, ``noLabelledSpeech``, ``oneLanguage``, ``tooFewSpeakers``;
            the hint says what to do.
    """
    request = request or Request()
    now = context.clock()
    with context.transaction() as session:
        if not speech_learning.has_clips(session):
            raise PermanentError(
                "no speech was collected yet",
                reason="noSpeech",
                hint="`tubegrader audio add CHANNEL…`, then `tubegrader channels crawl --audio`",
            )
        # A channel is labelled when it is read, which may be before its videos were. Not where
        # videos are read: batches are of many channels, in any order, and would lock each other's.
        channels.label_by_metadata(session, speech_learning.channels_with_clips(session))
        groups = speech_learning.source_groups(session)
        excluded = Counter(speech_learning.unlearnable(session))
        sample = Sample(context.settings.training_segments, SCHEMA, channel="speaker")
        table = _chosen(languages.labelled_segments(session), groups, request, sample, excluded)
    left_out = dict(sorted(excluded.items()))
    _check(table, left_out)
    dataset_id = _content_id(table, request)
    with context.transaction() as session:
        if datasets.renew(session, dataset_id, now=now) is not None:
            return SpeechDataset(dataset_id, table, left_out, is_new=False)
    with workspace(context, "dataset") as folder:
        pq.write_table(table, folder / MANIFEST, compression="zstd")
        description = _description(dataset_id, request, table) | {
            "excluded": left_out,
            "as_of": now.isoformat(),
        }
        if SAMPLED_OUT in left_out:
            description["most_segments"] = context.settings.training_segments
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", "utf-8")
        files = put_folder(context.store, folder)
    with context.transaction() as session:
        datasets.add(
            session,
            {
                "dataset_id": dataset_id,
                "task": SPEECH,
                "as_of": now,
                "created_at": now,
                "n_videos": table.num_rows,
                "n_channels": description["speakers"],
                "excluded": left_out,
                "files": files,
            },
        )
    return SpeechDataset(dataset_id, table, left_out, is_new=True)


def fetch(context: Context, dataset_id: str) -> SpeechDataset:
    """Read a dataset's table from the store.

    Raises:
        PermanentError: It is not known, or its files are missing or damaged.
    """
    with context.transaction() as session:
        row = datasets.get(session, dataset_id)
    if row is None or row.task != SPEECH:
        raise PermanentError(f"there is no dataset {dataset_id}", reason="datasetUnknown")
    with workspace(context, "dataset") as folder:
        get_folder(context.store, {MANIFEST: row.files[MANIFEST]}, folder)
        table = pq.read_table(folder / MANIFEST, schema=SCHEMA)
    return SpeechDataset(dataset_id, table, dict(row.excluded), is_new=False)


def _chosen(
    segments: Iterable[LabelledSegment],
    groups: dict[str, str],
    request: Request,
    sample: Sample,
    excluded: Counter[str],
) -> pa.Table:
    """Return what can be learned from, of too much a sample; count the others by reason."""
    first: dict[bytes, int] = {}
    spoken: list[str] = []
    times = array("q")
    conflicting: set[int] = set()

    def rows() -> Iterator[dict[str, Any]]:
        for segment in segments:
            reason = _why_not(segment, request)
            if reason is not None:
                excluded[reason] += 1
                continue
            place = first.setdefault(bytes.fromhex(segment.flac_sha256), len(times))
            if place == len(times):
                times.append(1)
                spoken.append(segment.language)
                yield _row(segment, groups)
                continue
            times[place] += 1
            if segment.language != spoken[place]:
                # The same sound under two videos that are said to speak different languages.
                conflicting.add(place)

    coming = rows()
    while page := list(islice(coming, PAGE)):
        sample.add(page)
    table = sample.rows()
    hashes = [sha256.hex() for sha256, place in first.items() if place in conflicting]
    kept = table.filter(pc.invert(pc.is_in(table["flac_sha256"], pa.array(hashes, pa.string()))))
    counts = {
        "conflictingLabel": sum(times[place] for place in conflicting),
        "duplicate": sum(n - 1 for place, n in enumerate(times) if place not in conflicting),
        SAMPLED_OUT: len(times) - len(conflicting) - kept.num_rows,
    }
    excluded.update({reason: n for reason, n in counts.items() if n})
    return kept


def _content_id(table: pa.Table, request: Request) -> str:
    """Return the hash of a JSON object of task, request and rows, which is never held whole."""
    digest = hashlib.sha256()
    digest.update(f'{{"request": {json.dumps(asdict(request), sort_keys=True)}, "rows": ['.encode())
    comma = ""
    for batch in table.to_batches(PAGE):
        texts = (json.dumps(row, sort_keys=True) for row in batch.to_pylist())
        digest.update((comma + ", ".join(texts)).encode())
        comma = ", "
    digest.update(f'], "task": {json.dumps(_HASHED_AS)}}}'.encode())
    return digest.hexdigest()


def _why_not(segment: LabelledSegment, request: Request) -> str | None:
    if segment.is_conflicting and segment.label_source != "hand" and request.conflicts == "drop":
        return "conflictingLabel"
    if segment.language not in LANGUAGES:
        return "otherLanguage"
    if segment.length_s < request.shortest_s:
        return "tooShort"
    return None


def _row(segment: LabelledSegment, groups: dict[str, str]) -> dict[str, Any]:
    return {
        "segment_id": segment.segment_id,
        "clip_id": segment.clip_id,
        "video_id": segment.video_id,
        "flac_sha256": segment.flac_sha256,
        "language": segment.language,
        "label_source": segment.label_source,
        "speaker": segment.speaker,
        "source": groups.get(segment.speaker, segment.speaker),
        "recording": segment.audio_sha256,
        "codec": segment.codec,
        "start_s": segment.start_s,
        "seconds": segment.length_s,
        "speech_share": segment.speech_share,
        "level_dbfs": segment.level_dbfs,
        "snr_db": segment.snr_db,
        "clipped_share": segment.clipped_share,
    }


def _check(table: pa.Table, excluded: dict[str, int]) -> None:
    """See that a model can be learned from the rows and evaluated."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in excluded.items())
    if not table.num_rows:
        raise PermanentError(
            f"no segment of speech can be learned from ({reasons or 'none was found'})",
            reason="noLabelledSpeech",
            hint="say what videos speak: `tubegrader audio label VIDEO… en`, or zh; "
            "`tubegrader audio label --conflicts` lists those whose claims contradict",
        )
    speakers = {
        language: len(table.filter(pc.equal(table["language"], language))["speaker"].unique())
        for language in LANGUAGES
    }
    missing = [language for language, count in speakers.items() if not count]
    if missing:
        raise PermanentError(
            f"all {table.num_rows} segments are in one language; none is in {missing[0]}",
            reason="oneLanguage",
            hint="`tubegrader audio add` channels that speak it, or correct labels with "
            "`tubegrader audio label VIDEO… LANGUAGE`",
        )
    fewest = min(speakers, key=lambda language: speakers[language])
    if speakers[fewest] < FEWEST_SPEAKERS:
        raise PermanentError(
            f"{speakers[fewest]} speaker (channel) of {fewest} is too few: models are compared "
            f"on held-out speakers; at least {FEWEST_SPEAKERS} of each language are needed",
            reason="tooFewSpeakers",
            hint="`tubegrader audio add` more channels, then `tubegrader channels crawl --audio`",
        )


def _description(dataset_id: str, request: Request, table: pa.Table) -> dict[str, Any]:
    counted = table["language"].value_counts().to_pylist()
    return {
        "dataset_id": dataset_id,
        "task": SPEECH,
        "request": asdict(request),
        "segments": table.num_rows,
        "seconds": round(sum(table["seconds"].to_pylist()), 3),
        **{f"{name}s": len(table[name].unique()) for name in ("speaker", "source", "recording")},
        "segments_by_language": {
            each["values"]: each["counts"] for each in sorted(counted, key=lambda c: c["values"])
        },
    }


def _clip(row: dict[str, Any]) -> Clip:
    return Clip(
        clip_id=row["flac_sha256"],
        path="",
        language=row["language"],
        speaker=row["speaker"],
        source=row["source"],
        recording=row["recording"],
        codec=row["codec"],
        seconds=row["seconds"],
        snr=float("nan") if row["snr_db"] is None else row["snr_db"],
    )
