"""The sound of the offline YouTube: pages, manifests, files, and what is heard in them."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ml.audio.activity import speech_probabilities
from ml.audio.decoding import decoded
from ml.audio.source import probe
from services.emulator.catalog import Catalog
from services.emulator.folder import folder_catalog
from services.emulator.labels import audio_label
from services.emulator.living import living_catalog
from services.emulator.recordings import recordings_catalog
from services.emulator.sound import spoken_language
from services.emulator.synthetic import synthetic_catalog
from services.emulator.videos import Stream
from services.errors import PermanentError, UsageError
from services.youtube.audio import AudioSource, NotYetError
from tests.support.audio import spoken_webm
from tests.support.emulator import api_client, fetch, running_emulator

EPOCH = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def world() -> Catalog:
    made = synthetic_catalog(seed=2, epoch=EPOCH, channels=12, videos=60)
    videos = list(made.videos.values())
    videos[0] = replace(videos[0], deleted_at=EPOCH)
    videos[1] = replace(videos[1], private=((EPOCH - HOUR, None),))
    videos[2] = replace(videos[2], stream=Stream(EPOCH + 2 * HOUR, EPOCH + 2 * HOUR))
    videos[3] = replace(videos[3], stream=Stream(EPOCH - HOUR, EPOCH - HOUR))
    videos[4] = replace(videos[4], published_at=EPOCH + HOUR)
    return Catalog.of(made.channels.values(), videos, epoch=EPOCH, picture=made.picture)


@pytest.fixture(scope="module")
def emulator(world):
    with running_emulator(world, clock=lambda: EPOCH, media_seconds=6.0) as running:
        yield running


def source_of(emulator) -> AudioSource:
    return AudioSource(media_url=emulator.url + "/watch?v={video_id}", clock=lambda: EPOCH)


def a_file(emulator, world, encoding="249.webm", place=10) -> str:
    return f"{emulator.url}/media/{list(world.videos)[place]}/{encoding}"


@pytest.mark.parametrize(
    ("file", "media_type", "codec"),
    [
        ("249.webm", "audio/webm", "opus"),
        ("251.webm", "audio/webm", "opus"),
        ("140.m4a", "audio/mp4", "aac"),
    ],
)
def test_each_format_is_what_it_says(emulator, world, tmp_path, file, media_type, codec):
    answer = fetch(a_file(emulator, world, file))
    assert (answer.status, answer.headers["Content-Type"]) == (200, media_type)
    path = tmp_path / file
    path.write_bytes(answer.body)
    facts = probe(path)
    assert facts.codec == codec
    assert facts.duration_s == pytest.approx(6, abs=0.1)


def test_ranges_heads_and_tags(emulator, world):
    address = a_file(emulator, world)
    whole = fetch(address)
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert int(whole.headers["Content-Length"]) == len(whole.body)
    part = fetch(address, {"Range": "bytes=100-199"})
    assert (part.status, part.body) == (206, whole.body[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(whole.body)}"
    assert fetch(address, {"Range": "bytes=999999999-"}).status == 416
    assert part.headers["ETag"] == whole.headers["ETag"]
    assert fetch(a_file(emulator, world, place=11)).headers["ETag"] != whole.headers["ETag"]


@pytest.mark.parametrize("file", ["999.webm", "249.m4a", "249", "..%2f249.webm"])
def test_no_other_file(emulator, world, file):
    assert fetch(a_file(emulator, world, file)).status == 404


def test_the_same_world_sounds_the_same(emulator, world):
    with running_emulator(world, clock=lambda: EPOCH, media_seconds=6.0) as again:
        for file in ("249.webm", "140.m4a"):
            first = fetch(a_file(emulator, world, file)).body
            assert fetch(a_file(again, world, file)).body == first


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_speech_detector_takes_it_for_speech(emulator, world, tmp_path, language):
    videos = [v for v in list(world.videos.values())[5:] if spoken_language(v) == language]
    path = tmp_path / "speech.webm"
    for video in videos[:3]:
        path.write_bytes(fetch(f"{emulator.url}/media/{video.video_id}/249.webm").body)
        assert np.mean(speech_probabilities(decoded(path)) > 0.5) > 0.6


@pytest.mark.parametrize(
    ("place", "kind", "reason"),
    [
        (0, PermanentError, "removed"),
        (1, PermanentError, "private"),
        (2, NotYetError, "upcoming"),
        (3, NotYetError, "live"),
        (4, PermanentError, "removed"),
    ],
)
def test_what_cannot_be_watched_cannot_be_heard(emulator, world, tmp_path, place, kind, reason):
    video_id = list(world.videos)[place]
    with pytest.raises(kind) as refusal:
        source_of(emulator).fetch(video_id, into=tmp_path)
    assert refusal.value.reason == reason
    if reason == "upcoming":
        assert refusal.value.not_before == EPOCH + 2 * HOUR
    if reason in ("removed", "private"):
        assert fetch(a_file(emulator, world, place=place)).status == 404


def test_labels_are_missing_or_wrong_now_and_then(world):
    ids = [f"video{number:06}" for number in range(4_000)]
    for spoken, other in (("en", "zh"), ("zh", "en")):
        labels = [audio_label(video_id, spoken) for video_id in ids]
        told = [label for label in labels if label is not None]
        assert 0.15 < 1 - len(told) / len(ids) < 0.25
        assert 0.03 < sum(label.startswith(other) for label in told) / len(ids) < 0.1


def test_the_api_tells_the_label_and_the_truth_both(emulator, world):
    ids = list(world.videos)[5:55]
    with api_client(emulator.url) as client:
        items = client.videos().list(part="snippet", id=",".join(ids)).execute()["items"]
    labels = {i["id"]: i["snippet"].get("defaultAudioLanguage") for i in items}
    truth = json.loads(fetch(f"{emulator.url}/emulator/truth").body)
    told = {v["video_id"]: v for v in truth["videos"]}
    assert labels == {i: told[i]["language"] for i in labels}
    assert {told[i]["spoken"] for i in labels} == {"en", "zh"}
    assert None in labels.values()


def test_living_worlds_and_folders_are_heard_too(tmp_path, shared_data):
    living = living_catalog(seed=1, epoch=EPOCH, days=5, channels=2, videos=8)
    recorded = folder_catalog(shared_data / "youtube", epoch=EPOCH)
    for catalog in (living, recorded):
        video = next(v for v in catalog.videos.values() if catalog.visible(v, EPOCH))
        with running_emulator(catalog, clock=lambda: EPOCH, media_seconds=2.0) as running:
            assert source_of(running).fetch(video.video_id, into=tmp_path).byte_size > 1_000


def recordings(folder, rows: list[str]) -> Catalog:
    head = "clip_file,language,speaker_id,source,duration_s"
    (folder / "clips.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return recordings_catalog(folder, epoch=EPOCH)


def test_a_folder_of_clips_is_served_byte_for_byte(tmp_path):
    for name, seconds in (("a.webm", 2.0), ("b.webm", 3.0)):
        (tmp_path / name).write_bytes(spoken_webm(seconds))
    catalog = recordings(tmp_path, ["a.webm,en,ann,s1,2", "b.webm,zh,bo,s1,3"])
    assert len(catalog.channels) == 2
    (tmp_path / "into").mkdir()
    with running_emulator(catalog, clock=lambda: EPOCH) as running:
        for name in ("a.webm", "b.webm"):
            video = next(v for v in catalog.videos.values() if v.title == f"Recording {name}")
            audio = source_of(running).fetch(video.video_id, into=tmp_path / "into")
            assert audio.path.read_bytes() == (tmp_path / name).read_bytes()


def test_real_clips_of_every_encoding_arrive_byte_for_byte(tmp_path, shared_data):
    catalog = recordings_catalog(shared_data / "speech", epoch=EPOCH)
    assert len(catalog.videos) == 1_133
    by_suffix = {v.title.rpartition(".")[2]: v for v in catalog.videos.values()}
    with running_emulator(catalog, clock=lambda: EPOCH) as running:
        for suffix, video in by_suffix.items():
            audio = source_of(running).fetch(video.video_id, into=tmp_path)
            original = shared_data / "speech" / video.title.removeprefix("Recording ")
            assert audio.sha256 == hashlib.sha256(original.read_bytes()).hexdigest(), suffix


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a.webm,fr,ann,s1,2", "language 'fr'"),
        ("a.webm,en,,s1,2", "speaker_id is empty"),
        ("a.webm,en,ann,s1,long", "is no length"),
        ("a.webm,en,ann,s1,nan", "is no length"),
        ("../a.webm,en,ann,s1,2", "leaves the folder"),
        ("/etc/passwd,en,ann,s1,2", "leaves the folder"),
        ("a\0.webm,en,ann,s1,2", "leaves the folder"),
        ("x/../../a.webm,en,ann,s1,2", "leaves the folder"),
        ("loop.webm,en,ann,s1,2", "leaves the folder"),
        ("out.webm,en,ann,s1,2", "leaves the folder"),
        (f"{'a' * 300}.webm,en,ann,s1,2", "does not exist"),
        ("a.webm,en,ann", "number of cells"),
        ("a.exe,en,ann,s1,2", "of no kind"),
        ("b.webm,en,ann,s1,2", "does not exist"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, said):
    for name in ("a.webm", "a.exe"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "loop.webm").symlink_to("loop.webm")
    (tmp_path / "out.webm").symlink_to("/etc/hostname")
    with pytest.raises(UsageError, match=said) as refusal:
        recordings(tmp_path, [row])
    assert "line 2" in str(refusal.value)
