"""Audio through the real yt-dlp over real HTTP: what is taken, where it stops, what it says."""

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ml.audio.source import probe
from services.emulator.catalog import Catalog
from services.emulator.synthetic import synthetic_catalog
from services.errors import BlockedError, PermanentError, TransientError, UsageError
from services.youtube.audio import AudioSource, NotYetError, Progress, ytdlp
from services.youtube.audio.choice import smallest_good
from tests.support.audio import endless_server, forwarding_proxy, source_of, spoken_webm
from tests.support.emulator import fetch, running_emulator
from tests.support.youtube import Reply, scripted_server

EPOCH = datetime(2026, 11, 1, tzinfo=UTC)
VIDEO = "dQw4w9WgXcQ"
ODD_TITLES = (
    "../../../etc/passwd",
    "</script><script>alert(1)</script>",
    "%(id)s %(title)s/%%",
    'a"b\\c\x00d\ne',
    "标题 🎬 " + "x" * 2_000,
)
MIB = 2**20


@pytest.fixture(scope="module")
def world() -> Catalog:
    made = synthetic_catalog(seed=3, epoch=EPOCH, channels=8, videos=40)
    videos = list(made.videos.values())
    for place, title in enumerate(ODD_TITLES):
        videos[place] = replace(videos[place], title=title, spoken="en")
    return Catalog.of(made.channels.values(), videos, epoch=EPOCH, picture=made.picture)


@pytest.fixture(scope="module")
def emulator(world):
    with running_emulator(world, clock=lambda: EPOCH, media_seconds=4.0) as running:
        yield running


@pytest.fixture
def source(emulator) -> AudioSource:
    fetch(f"{emulator.url}/emulator/faults", data=b"0")
    return source_of(emulator.url)


def struck(emulator, endpoint: str, fault: str) -> None:
    plan = {"rates": {endpoint: {fault: 1.0}}, "latency_s": 0.4}
    assert fetch(f"{emulator.url}/emulator/faults", data=json.dumps(plan).encode()).status == 200


def some_video(world: Catalog, spoken: str = "en"):
    return next(v for v in list(world.videos.values())[10:] if v.spoken == spoken)


@pytest.mark.parametrize("spoken", ["en", "zh"])
def test_the_smallest_good_format_comes_with_what_is_said_of_it(world, source, tmp_path, spoken):
    video = some_video(world, spoken)
    audio = source.fetch(video.video_id, into=tmp_path)
    assert (audio.format_id, audio.container, audio.codec) == ("249", "webm", "opus")
    assert (audio.title, audio.language) == (video.title, video.language)
    assert audio.abr_kbps == 50
    assert audio.duration_s == 4
    assert audio.is_whole
    assert audio.path.read_bytes()[:4] == b"\x1a\x45\xdf\xa3"
    assert audio.sha256 == hashlib.sha256(audio.path.read_bytes()).hexdigest()
    assert audio.byte_size == audio.path.stat().st_size
    assert probe(audio.path).duration_s == pytest.approx(4, abs=0.1)
    assert list(tmp_path.iterdir()) == [audio.path]


def test_the_same_video_gives_the_same_bytes(world, source, tmp_path):
    video = some_video(world)
    first = source.fetch(video.video_id, into=tmp_path)
    with running_emulator(world, clock=lambda: EPOCH, media_seconds=4.0) as other:
        again = source_of(other.url).fetch(video.video_id, into=tmp_path)
    assert again.sha256 == first.sha256


@pytest.mark.parametrize("floor", [(20.0, "249"), (60.0, "140"), (500.0, "140")])
def test_the_floor_decides_the_format(emulator, world, source, tmp_path, floor):
    least_kbps, expected = floor
    chosen = replace(source, least_kbps=least_kbps)
    assert chosen.fetch(some_video(world).video_id, into=tmp_path).format_id == expected


@pytest.mark.parametrize("place", range(len(ODD_TITLES)))
def test_a_title_never_becomes_a_name(world, source, tmp_path, place):
    video = list(world.videos.values())[place]
    audio = source.fetch(video.video_id, into=tmp_path)
    assert audio.path == tmp_path / f"{video.video_id}.webm"
    assert audio.title is not None
    assert "\x00" not in audio.title
    assert len(audio.title) <= 500
    assert list(tmp_path.iterdir()) == [audio.path]


FAULTS = [
    ("watch", "rate_limited", BlockedError, "rateLimited"),
    ("watch", "bot_check", BlockedError, "botCheck"),
    ("watch", "server_error", TransientError, "http500"),
    ("watch", "unavailable", TransientError, "http503"),
    ("watch", "reset", TransientError, "connectionLost"),
    ("watch", "truncated", TransientError, "truncated"),
    ("watch", "html", TransientError, "malformedAnswer"),
    ("watch", "geo_blocked", PermanentError, "geoBlocked"),
    ("watch", "age_gated", PermanentError, "ageGated"),
    ("watch", "members_only", PermanentError, "membersOnly"),
    ("watch", "private_video", PermanentError, "private"),
    ("watch", "removed_video", PermanentError, "removed"),
    ("watch", "no_audio", PermanentError, "noAudio"),
    ("watch", "upcoming", NotYetError, "upcoming"),
    ("watch", "on_air", NotYetError, "live"),
    ("manifests", "html", TransientError, "malformedAnswer"),
    ("manifests", "unavailable", TransientError, "http503"),
    ("media", "rate_limited", BlockedError, "rateLimited"),
    ("media", "unavailable", TransientError, "http503"),
    ("media", "reset", TransientError, "connectionLost"),
    ("media", "lost", TransientError, "connectionLost"),
    ("media", "truncated", TransientError, "truncated"),
    ("media", "lying_length", TransientError, "truncated"),
    ("media", "html", TransientError, "notAudio"),
    ("media", "empty", TransientError, "emptyFile"),
    ("media", "zero_seconds", TransientError, "emptyFile"),
]


@pytest.mark.parametrize(("endpoint", "fault", "kind", "reason"), FAULTS)
def test_each_fault_has_its_kind_and_reason_and_leaves_nothing(
    emulator, world, source, tmp_path, endpoint, fault, kind, reason
):
    before, after = list(world.videos.values())[20:22]
    kept = source.fetch(before.video_id, into=tmp_path)
    struck(emulator, endpoint, fault)
    with pytest.raises(kind) as refusal:
        source.fetch(after.video_id, into=tmp_path)
    assert refusal.value.reason == reason
    assert list(tmp_path.iterdir()) == [kept.path]
    if kind is BlockedError:
        assert refusal.value.hint
    fetch(f"{emulator.url}/emulator/faults", data=b"0")
    assert source.fetch(after.video_id, into=tmp_path).byte_size > 0


def test_an_announced_video_says_when(emulator, world, source, tmp_path):
    struck(emulator, "watch", "upcoming")
    with pytest.raises(NotYetError) as later:
        source.fetch(some_video(world).video_id, into=tmp_path)
    assert later.value.not_before == EPOCH + timedelta(hours=3)


@pytest.mark.parametrize("fault", ["no_range", "latency"])
def test_a_slow_server_or_one_without_ranges_does_no_harm(emulator, world, source, tmp_path, fault):
    struck(emulator, "media", fault)
    assert source.fetch(some_video(world).video_id, into=tmp_path).is_whole


def test_no_video_of_that_id(source, tmp_path):
    with pytest.raises(PermanentError, match="gone") as gone:
        source.fetch("x" * 11, into=tmp_path)
    assert gone.value.reason == "removed"
    with pytest.raises(PermanentError) as odd:
        source.fetch("../../../a", into=tmp_path)
    assert odd.value.reason == "malformedId"


def test_nobody_listens(tmp_path):
    with scripted_server(lambda _: Reply()) as server:
        url = server.url
    with pytest.raises(TransientError) as down:
        source_of(url).fetch(VIDEO, into=tmp_path)
    assert down.value.reason == "networkDown"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_announced_too_large_is_not_begun(tmp_path):
    with endless_server(64 * MIB, announced=True) as (url, sent):
        with pytest.raises(PermanentError) as large:
            source_of(url).fetch(VIDEO, into=tmp_path, max_bytes=MIB)
        assert large.value.reason == "tooLarge"
        # What stood in buffers when the connection ended.
        assert max(sent.bytes_by_request) < 8 * MIB
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_larger_than_announced_ends_at_the_limit(tmp_path):
    seen: list[Progress] = []
    with endless_server(256 * MIB, announced=False) as (url, sent):
        with pytest.raises(PermanentError) as large:
            source_of(url).fetch(VIDEO, into=tmp_path, max_bytes=MIB, progress=seen.append)
        assert large.value.reason == "tooLarge"
        assert MIB <= sent.bytes_by_request[-1] < 9 * MIB
    assert max(step.done_bytes for step in seen) <= MIB
    assert all(step.total_bytes is None for step in seen)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_ranges_is_the_same_file(emulator, world, source, tmp_path):
    """YouTube's own formats are loaded in ranges of ten megabytes; here they are smaller."""
    address = source.address(some_video(world).video_id)
    got: list[int] = []
    with ytdlp.downloader(address, ytdlp.Options()) as downloader:
        info = downloader.describe(address, smallest_good)
        info["downloader_options"] = {"http_chunk_size": 10_000}
        path = tmp_path / "ranges"
        assert downloader.transfer(
            info, path, lambda done, _: got.append(done) or False, max_bytes=None
        )
    assert len(got) > 3
    assert path.read_bytes() == fetch(info["url"]).body


def test_enough_for_the_seconds_wanted_is_enough(world, tmp_path):
    video = some_video(world)
    with running_emulator(world, clock=lambda: EPOCH, media_seconds=60.0) as long:
        source = source_of(long.url)
        whole = source.fetch(video.video_id, into=tmp_path)
        head = source.fetch(video.video_id, into=tmp_path, seconds_wanted=5.0)
        roomy = source.fetch(video.video_id, into=tmp_path, seconds_wanted=100.0)
    assert (whole.is_whole, head.is_whole, roomy.is_whole) == (True, False, True)
    assert head.byte_size < whole.byte_size / 1.5
    assert head.duration_s == 60


def test_whoever_watches_the_progress_can_end_it(world, source, tmp_path):
    class StoppedError(Exception):
        pass

    def stop(progress: Progress) -> None:
        raise StoppedError(progress.done_bytes)

    with pytest.raises(StoppedError):
        source.fetch(some_video(world).video_id, into=tmp_path, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_trickles_is_given_up(world, source, tmp_path):
    with pytest.raises(TransientError) as slow:
        source.fetch(some_video(world).video_id, into=tmp_path, max_seconds=0.0)
    assert slow.value.reason == "timeout"


def test_cookies_are_sent_and_the_file_stays_as_it_was(tmp_path):
    file = tmp_path / "cookies.txt"
    line = "127.0.0.1\tFALSE\t/\tFALSE\t2000000000\tsession\thunter2"
    file.write_text(f"# Netscape HTTP Cookie File\n{line}\n")
    before = file.read_bytes()

    def respond(asked):
        headers = {"Content-Type": "audio/webm", "Set-Cookie": "session=other"}
        return Reply(body=spoken_webm(), headers=headers)

    (tmp_path / "into").mkdir()
    with scripted_server(respond) as server:
        source_of(server.url, cookies=file).fetch(VIDEO, into=tmp_path / "into")
        assert "session=hunter2" in server.requests[0].headers["Cookie"]
    assert file.read_bytes() == before
    with pytest.raises(UsageError, match="no cookies file"):
        source_of(server.url, cookies=tmp_path / "none").fetch(VIDEO, into=tmp_path)
    file.write_text("these are no cookies\n")
    with pytest.raises(UsageError, match="cannot be used"):
        source_of(server.url, cookies=file).fetch(VIDEO, into=tmp_path)


def test_all_goes_through_the_proxy(emulator, world, source, tmp_path):
    video = some_video(world)
    with forwarding_proxy() as (url, seen):
        audio = replace(source, proxy=url).fetch(video.video_id, into=tmp_path)
    assert audio.byte_size > 0
    assert [path.removeprefix(emulator.url).split("?")[0] for path in seen.paths] == [
        "/watch",
        f"/manifest/{video.video_id}.mpd",
        f"/media/{video.video_id}/249.webm",
    ]


def test_a_proxy_s_password_is_not_told(world, source, tmp_path):
    with scripted_server(lambda _: Reply(status=407)) as proxy:
        address = proxy.url.replace("http://", "http://me:hunter2@")
        with pytest.raises(BlockedError) as refused:
            replace(source, proxy=address).fetch(some_video(world).video_id, into=tmp_path)
    assert refused.value.reason == "proxyRefused"
    told = f"{refused.value} {refused.value.hint} {refused.value.__cause__}"
    assert "hunter2" not in told
    assert "hunter2" not in repr(replace(source, proxy=address))


def test_the_environment_s_proxy_is_used_but_for_this_machine(world, source, tmp_path, monkeypatch):
    elsewhere = replace(source, media_url="http://media.example/watch?v={video_id}")
    with scripted_server(lambda _: Reply(status=407)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        with pytest.raises(BlockedError) as refused:
            elsewhere.fetch(some_video(world).video_id, into=tmp_path)
        assert refused.value.reason == "proxyRefused"
        assert {asked.site for asked in proxy.requests} == {"media.example"}
    assert source.fetch(some_video(world).video_id, into=tmp_path).byte_size > 0


@pytest.mark.parametrize("changes", [{"rate_limit": 60_000}, {"sleep_s": 0.5}])
def test_rate_and_sleep_slow_a_transfer_down(world, source, tmp_path, changes):
    video = some_video(world)
    source.fetch(video.video_id, into=tmp_path)  # spoken by now
    began = time.monotonic()
    audio = replace(source, **changes).fetch(video.video_id, into=tmp_path)
    # The limit is kept over whole blocks, so the last one is not waited for.
    expected = (audio.byte_size - 65_536) / 60_000 if "rate_limit" in changes else 0.5
    assert time.monotonic() - began >= max(expected, 0.01)


def test_nothing_of_the_user_s_yt_dlp_is_read_or_written(emulator, world, source, tmp_path):
    home, into = tmp_path / "home", tmp_path / "into"
    into.mkdir()
    plugins = home / ".config/yt-dlp/plugins/mine/yt_dlp_plugins/extractor"
    plugins.mkdir(parents=True)
    (plugins / "mine.py").write_text(f"open({str(home / 'plugin-ran')!r}, 'w')\n")
    (home / ".config/yt-dlp/config").write_text(f"-o {home / 'elsewhere'}\n--exec 'touch ran'\n")
    (home / ".netrc").write_text("not a netrc\n")
    before = files_below(home)
    program = (
        "import sys, pathlib\n"
        "from services.youtube.audio import AudioSource\n"
        "source = AudioSource(media_url=sys.argv[1] + '/watch?v={video_id}')\n"
        "print(source.fetch(sys.argv[2], into=pathlib.Path(sys.argv[3])).path)\n"
    )
    video_id = some_video(world).video_id
    done = subprocess.run(
        [sys.executable, "-c", program, emulator.url, video_id, str(into)],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert str(into / f"{video_id}.webm") in done.stdout
    assert files_below(home) == before


def files_below(home: Path) -> list[Path]:
    return sorted(p for p in home.rglob("*") if p.is_file())
