"""Small inputs that once went wrong, each through the door that somebody would take it to.

They lie beside the checkout (``shared/cases``, with a README that says what is right); the table
says which door each is tried at, so that none is forgotten.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ml.thumbnails.backbones.cnn import CnnConfig
from services.context import Context
from services.embedded import Endpoints
from services.emulator.catalog import Catalog
from services.emulator.folder import folder_catalog
from services.emulator.videos import Channel
from tests.support import grading
from tests.support.audio_host import OTHER, VIDEO, Speech, speech, spoken
from tests.support.cli import Ran, in_process, pointing_at, settings_of
from tests.support.crawl import NOW, offline_crawl, rows, value
from tests.support.databases import context_on, own_database
from tests.support.emulator import running_emulator
from tests.support.language import trained_model
from tests.support.speech import TINY

__all__ = ["speech", "spoken"]

FIRST, SECOND, TENTH, DOTTED, PLAIN = (
    "UC" + name + "x" * 16 for name in ("odd000", "odd001", "odd010", "dotted", "plain0")
)
HANDLES = {
    FIRST: None,
    SECOND: None,
    TENTH: "@ReallyLongHandleNameThatIs30Ch",
    DOTTED: "@dot.name_under-score",
    PLAIN: "@plainname",
}
GRADED = (
    *("exif-rotated.jpg", "plain.jpg", "two-pictures-mpo.jpg"),
    *("gray16.png", "gray8_same_as_16.png", "placeholder-size.jpg"),
)
SECONDS = {
    "apev2-cover-400k.mp3": 8.0,
    "bad-utf8-id3v24.mp3": 8.0,
    "join-32k-then-128k.mp3": 18.0,
    "latin1-tag.wav": 8.0,
    "mp3-vbr-no-xing.mp3": 36.0,
    "wav-byterate-field-wrong.wav": 8.0,
    "wav-one-nan.wav": 8.0,
}
LISTS: dict[str, tuple[list[str], list[str]]] = {
    "freetube.db": ([FIRST, SECOND], ["added", "added"]),
    "name-and-link.csv": ([FIRST, DOTTED], ["added", "added"]),
    "newpipe.json": ([FIRST, SECOND], ["added", "added"]),
    "opml-utf16.opml": ([FIRST], ["added"]),
    "quoted-single.txt": ([PLAIN, SECOND], ["added", "added"]),
    "same-twice.txt": ([TENTH, TENTH], ["added", "the same"]),
    "takeout-de.csv": ([FIRST, SECOND], ["added", "added"]),
}
"""Which channels each list names, and what becomes of its lines."""
IMPORTS = ("import-mpo", "import-not-watched")


def test_every_case_is_taken_to_a_door(shared_cases: Path) -> None:
    there = {path.name for path in shared_cases.iterdir()} - {"README.md"}
    assert there == {*GRADED, *SECONDS, *LISTS, *IMPORTS}


@pytest.fixture(scope="module")
def learned(
    shared_cases: Path, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Context]:
    """As little as can be trained on: only whether pictures are graded alike is asked."""
    folder = tmp_path_factory.mktemp("cases")
    with (
        own_database(endpoints.database_url, "test_cases_graded") as url,
        closing(context_on(url, endpoints, folder, clock=lambda: grading.NOW)) as context,
    ):
        grading.store_channels(context, effect=0.8, count=16, each=3)
        cnn = CnnConfig(widths=(4, 8), epochs=1, batch_size=32, learning_rate=1e-2)
        grading.learn(context, replace(grading.SMALL, cnn=cnn))
        yield context


def test_pictures_are_graded_as_they_are_seen(learned: Context, shared_cases: Path) -> None:
    ran = in_process(
        *("grade", *(str(shared_cases / name) for name in GRADED), "--json"),
        env=settings_of(learned),
    )
    answer = json.loads(ran.out)
    graded = {picture["name"]: picture for picture in answer["pictures"]}
    assert set(graded) == {*GRADED} - {"placeholder-size.jpg"}
    assert (graded["exif-rotated.jpg"]["width"], graded["exif-rotated.jpg"]["height"]) == (
        graded["plain.jpg"]["width"],
        graded["plain.jpg"]["height"],
    )
    assert graded["two-pictures-mpo.jpg"]["format"] == "jpeg"
    assert_graded_alike(graded["exif-rotated.jpg"], graded["plain.jpg"])
    assert_graded_alike(graded["gray16.png"], graded["gray8_same_as_16.png"])
    assert ran.code == 1
    [small] = answer["unusable"]
    assert small["error"]["reason"] == "imageTooSmall"
    assert "120 by 90 pixels are too small" in ran.err
    assert "no such thumbnail" not in ran.err


def assert_graded_alike(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first["over_median"]["value"] == pytest.approx(second["over_median"]["value"], rel=0.01)
    for one, other in zip(first["features"], second["features"], strict=True):
        assert one["value"] == pytest.approx(other["value"], rel=0.05, abs=0.5), one


def test_sound_that_decodes_is_classified_whatever_the_file_says(
    shared_cases: Path, tmp_path: Path
) -> None:
    clips, saved = tmp_path / "clips", tmp_path / "model"
    clips.mkdir()
    saved.mkdir()
    trained_model(clips, config=replace(TINY, epochs=1), each=4).save(saved)
    paths = [str(shared_cases / name) for name in SECONDS]
    ran = in_process("language", "--model", str(saved), "--json", *paths)
    assert ran.code == 0, ran.out + ran.err
    files = dict(zip(SECONDS, json.loads(ran.out)["files"], strict=True))
    assert {name: f["seconds"] for name, f in files.items()} == pytest.approx(SECONDS, abs=0.1)
    assert all(f["segments"] for f in files.values())
    assert {name: f["notes"] for name, f in files.items() if f["notes"]} == {
        "wav-one-nan.wav": ["1 sample of it is no number and taken as silence"]
    }


@pytest.mark.parametrize("name", SECONDS)
def test_sound_that_decodes_is_collected(speech: Speech, shared_cases: Path, name: str) -> None:
    kind = "audio/mpeg" if name.endswith(".mp3") else "audio/wav"
    speech.host.serve(VIDEO, (shared_cases / name).read_bytes(), kind)
    speech.select()
    assert speech.collect() == 2
    assert speech.work() == {VIDEO: ("idle", None), OTHER: ("idle", None)}


def opened(channel_id: str) -> Channel:
    return Channel(
        channel_id, "Odd", NOW - timedelta(days=900), 1_000, handle=HANDLES.get(channel_id)
    )


def world(channels: Sequence[Channel]) -> Catalog:
    return Catalog.of(channels, [], epoch=NOW, picture=lambda _: b"")


@pytest.mark.parametrize("name", LISTS)
def test_lists_are_added(context: Context, shared_cases: Path, name: str) -> None:
    named, expected = LISTS[name]
    with running_emulator(world([opened(c) for c in HANDLES])) as youtube:
        env = settings_of(context) | pointing_at(youtube.url)
        ran = in_process("channels", "add", "--from", str(shared_cases / name), "--json", env=env)
        again = in_process("channels", "add", "--from", str(shared_cases / name), "--json", env=env)
    assert outcomes(ran) == list(zip(named, expected, strict=True))
    assert (ran.code, again.code) == (0, 0), ran.out + ran.err
    once = ["known" if status == "added" else status for status in expected]
    assert [status for _, status in outcomes(again)] == once


def outcomes(ran: Ran) -> list[tuple[str, str]]:
    return [(line["channel_id"], line["status"]) for line in json.loads(ran.out)]


def test_an_import_takes_a_jpeg_of_two_pictures_as_its_first(
    context: Context, shared_cases: Path
) -> None:
    ran = in_process("import", str(shared_cases / "import-mpo"), "--json", env=settings_of(context))
    assert ran.code == 0, ran.out + ran.err
    assert json.loads(ran.out)["refused"] == {}
    found = rows(context, "SELECT format, width, height FROM thumbnails ORDER BY byte_size")
    assert len(found) == 2
    assert len(set(found)) == 1


def test_a_crawl_takes_a_jpeg_of_two_pictures_as_its_first(
    context: Context, shared_cases: Path
) -> None:
    recorded = folder_catalog(shared_cases / "import-mpo", epoch=NOW)
    with offline_crawl(context, recorded) as crawl:
        assert crawl.run().state == "succeeded"
    assert value(context, "SELECT count(*) FROM thumbnails WHERE format = 'jpeg'") == 2
    left = "SELECT count(*) FROM work_items WHERE state = 'leased' OR error_reason IS NOT NULL"
    assert value(context, left) == 0


def test_what_was_imported_is_crawled_once_it_is_watched_and_never_called_gone(
    context: Context, shared_cases: Path
) -> None:
    folder = shared_cases / "import-not-watched"
    ran = in_process("import", str(folder), env=settings_of(context))
    assert ran.code == 0, ran.out + ran.err
    with offline_crawl(context, world([opened(FIRST)])) as crawl:
        crawl.run()
        for _ in range(3):
            crawl.turn(days=40)
            crawl.settle()
    states = "SELECT watched, state FROM channels WHERE channel_id LIKE 'UCimport%'"
    assert rows(context, states) == [(False, "active")]
    assert value(context, "SELECT state FROM videos WHERE source = 'import'") == "public"
