"""What nobody means to type: each command says in a line what is wrong, and ends with its code."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from rich.console import Console
from sqlalchemy.exc import DataError

from services.cli import common, tables
from services.context import Context
from services.embedded import Endpoints
from tests.support.cli import in_process, settings_of
from tests.support.databases import context_on, own_database

NOT_UTF8 = os.fsdecode(b"\xff\xfe.jpg")
LONG, LOOP, FIFO, EMPTY, FOLDER, MISSING, LOST = (
    *("LONG", "LOOP", "FIFO", "EMPTY", "FOLDER", "MISSING", "LOST"),
)
"""Stand for files of the fixture's folder."""
CHANNEL = "UC" + "a" * 22
ADD = ("schedule", "add", "odd", "--kind")


@pytest.fixture(scope="module")
def context(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    with (
        own_database(endpoints.database_url, "test_odd_inputs") as url,
        closing(context_on(url, endpoints, tmp_path_factory.mktemp("odd"))) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("places")
    found = {name: folder / name.lower() for name in (LOOP, FIFO, EMPTY, FOLDER, MISSING)}
    found[LOOP].symlink_to(found[LOOP])
    os.mkfifo(found[FIFO])
    found[EMPTY].touch()
    found[FOLDER].mkdir()
    found[LONG] = folder / ("n" * 300)
    found[LOST] = folder / "no" / "such" / "folder"
    return {name: str(path) for name, path in found.items()}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("grade", LONG), "File name too long"),
        (("grade", LOOP), "there is no file"),
        (("grade", FIFO), "is not a file"),
        (("grade", FOLDER), "is not a file"),
        (("grade", EMPTY), "neither JPEG, PNG nor WebP"),
        (("grade", "a\nb"), "there is no file"),
        (("grade", NOT_UTF8), "there is no file"),
        (("grade", "\u202egpj.exe"), "there is no file"),
        (("language", "--model", LONG, "x.wav"), "File name too long"),
        (("language", "--model", LOOP, "x.wav"), "no saved model"),
        (("language", "--model", NOT_UTF8, "x.wav"), "no saved model"),
        (("label", "--from-file", LONG), "File name too long"),
        (("label", "--from-file", FOLDER), "Is a directory"),
        (("label", "--from-file", EMPTY), "lacks the columns"),
        (("label", "dQw4w9WgXcQ", NOT_UTF8), "is no language"),
        (("label", NOT_UTF8, "en"), "is no video"),
        (("label", "dQw4w9WgXcQ", "en", "--by", "a\nb"), "who gave it"),
        (("import", LONG), "File name too long"),
        (("import", LOOP), "holds nothing that can be imported"),
        (("import", FIFO), "holds nothing that can be imported"),
        (("import", EMPTY, "--report", LOST), "nothing was imported yet"),
        (("import", EMPTY, "--report", FOLDER), "it is a folder"),
        (("import", EMPTY, "--report", LONG), "File name too long"),
        (("export", LONG, "--raw"), "File name too long"),
        (("export", EMPTY, "--raw"), "Not a directory"),
        (("export", NOT_UTF8, "--raw"), "the name is no text in UTF-8"),
        (("export", MISSING, "--what", "%s"), "nothing is called “%s”"),
        (("sql", "-c", NOT_UTF8), "bytes that are no text"),
        (("sql", "-c", "select 1; drop table channels"), "multiple commands"),
        (("sql", "-c", "copy channels to stdout"), "COPY"),
        ((*ADD, "crawl", "--every", "1h", "--tag", NOT_UTF8), "cannot be a tag"),
        ((*ADD, "crawl", "--every", "1h", "--tag", "a,b"), "cannot be a tag"),
        ((*ADD, "crawl", "--every", "9" * 30 + "d"), "no length of time"),
        ((*ADD, "crawl", "--cron", "0 0 31 2 *"), "no cron expression"),
        ((*ADD, "crawl", "--every", "1h", "--zone", "../../etc/passwd"), "no time zone"),
        ((*ADD, "train", "--every", "1h", "--threshold", "inf"), "threshold"),
        ((*ADD, "train", "--every", "1h", "--seed", "9" * 40), "seed"),
        (("schedule", "add", "a\nb", "--kind", "crawl", "--every", "1h"), "cannot name a schedule"),
        (("schedule", "remove", NOT_UTF8), "bytes that are no text"),
        (("channels", "add", "--from", LONG), "File name too long"),
        (("channels", "add", "--from", LOOP), "Too many levels of symbolic links"),
        (("channels", "add", "--from", EMPTY), "no channel was named"),
        (("channels", "add", CHANNEL, "--tag", NOT_UTF8), "cannot be a tag"),
        (("channels", "add", CHANNEL, "--language", "ｅｎ"), "is no language"),
        (("channels", "tag", "add", CHANNEL, "--tag", ""), "cannot be a tag"),
        (("channels", "pause", "👩‍👩‍👧"), "does not name a YouTube channel"),
        (("channels", "pause", "＠ｎｏｂｏｄｙ"), "is not watched"),
        (("channels", "forget", NOT_UTF8), "does not name a YouTube channel"),
        (("channels", "list", "--tag", NOT_UTF8), "bytes that are no text"),
        (("datasets", "show", NOT_UTF8), "bytes that are no text"),
        (("datasets", "show", "%"), "too short a name"),
        (("models", "promote", NOT_UTF8, "--why", "x"), "bytes that are no text"),
        (("models", "promote", "9" * 30, "--why", "x"), "no"),
        (("jobs", "list", "--limit", "9" * 20), "limit"),
        (("crawl", "--from", FOLDER), "Is a directory"),
        (("crawl", NOT_UTF8), "does not name a YouTube channel"),
    ],
)
def test_an_odd_input_is_refused_in_a_line(
    context: Context, places: dict[str, str], words: tuple[str, ...], said: str
) -> None:
    env = settings_of(context) | {"TUBEGRADER_YOUTUBE_API_KEY": "offline"}
    ran = in_process(*(places.get(word, word) for word in words), env=env)
    assert ran.code in (1, 2), ran.out
    assert said in ran.err.replace("\n", " ")
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("files", ["[" * 100_000, '{"\\ud800": {"bytes": 1, "sha256": "a"}}'])
def test_a_manifest_of_nonsense_is_refused(context: Context, tmp_path: Path, files: str) -> None:
    manifest = f'{{"format": "tubegrader-export", "version": 2, "files": {files}}}'
    (tmp_path / "manifest.json").write_text(manifest)
    ran = in_process("import", str(tmp_path), env=settings_of(context))
    assert ran.code == 2
    assert "manifest" in ran.complaint[0]


def test_many_rows_are_aligned_as_few_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [["1", "a\nb", "漢字", None], ["22", "x" * 90, "c", "\x07b\r"], [3, "", "é", "👩"]]
    common.print_table(["line", "named", "x", ""], rows, right=["line"])
    drawn = capsys.readouterr().out
    assert not Console().is_terminal
    monkeypatch.setattr(tables, "_ROWS_DRAWN", 0)
    common.print_table(["line", "named", "x", ""], rows, right=["line"])
    assert capsys.readouterr().out == drawn


def test_a_list_of_many_thousand_lines_is_answered_line_by_line(
    context: Context, tmp_path: Path
) -> None:
    listed = tmp_path / "many.txt"
    listed.write_text("".join(f"@two words {n}\n" for n in range(20_000)))
    ran = in_process("channels", "add", "--from", str(listed), env=settings_of(context))
    assert ran.code == 1
    assert ran.err.strip() == "20000 malformed"
    assert len(ran.out.splitlines()) == 20_002


def run(context: Context, *words: str, **outside: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "services.cli.main", *words]
    env = {**os.environ, **settings_of(context), **outside}
    return subprocess.run(command, env=env, capture_output=True, timeout=120, check=False)


@pytest.mark.parametrize("way", ["| head -n 1", ">&-", "> /dev/full"])
def test_a_reader_that_goes_away_ends_the_command_quietly(context: Context, way: str) -> None:
    query = "select n, repeat('x', 200) from generate_series(1, 3000) n"
    command = f'{sys.executable} -m services.cli.main sql -c "{query}" {way}'
    done = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, **settings_of(context)},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert b"Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2, done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("channels add -", "no channel was named"),
        ("label --from-file -", "lacks the columns"),
        ("language -", "no file was named"),
        ("sql --csv -c 'select 1' >&-", ""),
    ],
)
def test_streams_that_were_closed_are_empty(context: Context, words: str, said: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m services.cli.main {words} <&-"],
        env={**os.environ, **settings_of(context)},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == (2 if said else 0), done.stderr
    assert said in done.stderr.decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("outside", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_any_locale_shows_what_it_can(context: Context, outside: dict[str, str]) -> None:
    done = run(context, "sql", "-c", "select 'Ä漢' as é", **outside)
    assert (done.returncode, done.stderr) == (0, b"")
    done = run(context, "sql", "--json", "-c", "select 'Ä漢' as é", **outside)
    assert done.returncode == 0
    assert json.loads(done.stdout)


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    home = tmp_path / "file" / "home"
    (tmp_path / "file").touch()
    ran = in_process("channels", env={"TUBEGRADER_HOME": str(home)})
    assert ran.code in (1, 2), ran.out + ran.err
    assert str(tmp_path / "file") in ran.err + ran.out


def test_a_value_that_fits_no_column_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_options: str) -> None:
        raise DataError("SELECT 1", {}, psycopg.DataError("bigint out of range\nLINE 1"))

    monkeypatch.setattr("services.cli.main.app", fails)
    ran = in_process("jobs")
    assert (ran.code, ran.err) == (2, "error: the database refuses a value: bigint out of range\n")
