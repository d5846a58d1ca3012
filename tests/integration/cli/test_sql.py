"""``tubegrader sql``, ``jobs`` and ``channels`` as a user types them, on a database with rows."""

import csv
import io
import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from db.queries.catalog import channels
from services import querying
from services.cli.main import main
from services.context import Context
from services.errors import UsageError
from services.work import jobs
from tests.support.crawl import NOW, value
from tests.support.databases import owned, owner_engine

CHANNEL = "UC" + "a" * 22
TITLE = "[red]Ça: 50 %[/red], “quoted” \\ 中文"


@dataclass(frozen=True)
class Typed:
    """What came of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def environment(context: Context) -> dict[str, str]:
    found = context.settings.model_dump(mode="json", include={"database_url", "redis_url", "home"})
    return {f"TUBEGRADER_{name.upper()}": text for name, text in found.items()} | {
        "TUBEGRADER_STORAGE_URL": str(context.settings.storage_url)
    }


@pytest.fixture
def tubegrader(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., Typed]:
    for name, setting in environment.items():
        monkeypatch.setenv(name, setting)

    def run(*arguments: str) -> Typed:
        monkeypatch.setattr(sys, "argv", ["tubegrader", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return Typed(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def one_channel(context: Context) -> None:
    with context.transaction() as session:
        channels.add(session, [CHANNEL], now=NOW)
        channels.refresh(session, {"channel_id": CHANNEL, "title": TITLE}, now=NOW)


def test_a_query_prints_a_table(tubegrader, one_channel):
    done = tubegrader("sql", "-c", "SELECT channel_id, title, country FROM channels")
    assert done.code == 0
    header, _, row, *rest = done.out.strip().splitlines()
    assert header.split() == ["channel_id", "title", "country"]
    assert row.rstrip().split(maxsplit=1) == [CHANNEL, TITLE]
    assert rest[-1] == "(1 row)"


def test_a_query_prints_json(tubegrader, one_channel):
    query = "SELECT channel_id, title, country, added_at, 1::bigint AS n, true AS yes FROM channels"
    done = tubegrader("sql", "--json", "-c", query)
    assert json.loads(done.out) == [
        {
            "channel_id": CHANNEL,
            "title": TITLE,
            "country": None,
            "added_at": "2026-07-15 12:00:00+00:00",
            "n": 1,
            "yes": True,
        }
    ]


def test_a_query_prints_csv(tubegrader, one_channel):
    done = tubegrader("sql", "--csv", "-c", "SELECT title, country, 'a,\"b\"\n' AS x FROM channels")
    assert list(csv.reader(io.StringIO(done.out))) == [
        ["title", "country", "x"],
        [TITLE, "", 'a,"b"\n'],
    ]


def test_a_query_prints_csv_that_no_spreadsheet_runs(tubegrader, one_channel):
    query = "SELECT '=1+1' AS \"=x\", -1 AS n, '@a' AS handle"
    done = tubegrader("sql", "--csv", "-c", query)
    assert list(csv.reader(io.StringIO(done.out))) == [
        ["'=x", "n", "handle"],
        ["'=1+1", "-1", "'@a"],
    ]
    done = tubegrader("sql", "--csv", "--raw", "-c", query)
    assert list(csv.reader(io.StringIO(done.out))) == [["=x", "n", "handle"], ["=1+1", "-1", "@a"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("SELECT '12:30'::time::text AS t", "12:30:00"),
        ("SELECT ':name' AS t", ":name"),
        ("SELECT '%s %(x)s 100%' AS t", "%s %(x)s 100%"),
        ("SELECT 'a\\:b' AS t", "a\\:b"),
        ("SELECT 'é中' AS t -- a comment: with a colon", "é中"),
        ("SELECT 't' AS t;", "t"),
        ("VALUES ('t')", "t"),
        ("WITH t AS (SELECT 't' AS t) SELECT * FROM t", "t"),
    ],
)
def test_a_query_is_taken_as_it_is_typed(tubegrader, query: str, found: str):
    done = tubegrader("sql", "--json", "-c", query)
    [row] = json.loads(done.out)
    assert list(row.values()) == [found]


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM channels",
        "DROP TABLE channels CASCADE",
        "CREATE TABLE mine (n int)",
        "COMMIT; DELETE FROM channels",
        "ROLLBACK; BEGIN; DELETE FROM channels; COMMIT",
        "SET TRANSACTION READ WRITE; DELETE FROM channels; COMMIT",
        "WITH gone AS (DELETE FROM channels RETURNING 1) SELECT * FROM gone",
        "SELECT nextval('evaluations_evaluation_id_seq')",
    ],
)
def test_a_write_is_refused_in_one_line(tubegrader, one_channel, context: Context, query: str):
    done = tubegrader("sql", "-c", query)
    assert done.code == 2
    assert done.out == ""
    problem, hint = done.err.splitlines()
    assert problem.startswith(("error: cannot ", "error: permission denied for "))
    assert "psql" in hint
    assert value(context, "SELECT count(*) FROM channels") == 1
    assert value(context, "SELECT to_regclass('mine')") is None


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT * FROM nothing", 'relation "nothing" does not exist'),
        ("SELECT 1/0", "division by zero"),
        ("SELECT 'unfinished", 'unterminated quoted string at or near "\'unfinished"'),
    ],
)
def test_a_bad_query_is_one_line(tubegrader, query: str, problem: str):
    done = tubegrader("sql", "-c", query)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[0] == f"error: {problem}"
    assert "data catalog" in done.err.splitlines()[1]


def test_a_query_that_gives_nothing_says_so(tubegrader):
    assert json.loads(tubegrader("sql", "--json", "-c", "SELECT 1 AS n WHERE false").out) == []
    assert "(0 rows)" in tubegrader("sql", "-c", "SELECT 1 AS n WHERE false").out


def test_channels_are_listed(tubegrader, one_channel):
    [listed] = json.loads(tubegrader("channels", "--json").out)
    assert (listed["channel_id"], listed["title"]) == (CHANNEL, TITLE)
    assert (listed["state"], listed["n_videos"], listed["subscriber_count"]) == ("active", 0, None)
    row = tubegrader("channels").out.splitlines()[2]
    assert TITLE in row
    assert row.split()[-2:] == ["hidden", "0"]


def test_jobs_are_listed_and_shown(tubegrader, context: Context):
    job_id = str(jobs.submit(context, "compare", {}))
    [listed] = json.loads(tubegrader("jobs", "list", "--json").out)
    shown = json.loads(tubegrader("jobs", "show", job_id[:8], "--json").out)
    [wait] = shown.pop("waits_for")
    assert wait["reason"] == "noWorker"
    assert listed == shown
    assert (shown["job_id"], shown["kind"], shown["state"]) == (job_id, "compare", "queued")
    assert job_id[:8] in tubegrader("jobs", "list").out
    assert job_id in tubegrader("jobs", "show", job_id).out
    assert tubegrader("jobs", "cancel", job_id).out.strip() == f"job {job_id[:8]} is cancelled"
    assert "cancelled" in tubegrader("jobs", "list").out


def test_a_job_that_does_not_exist_is_one_line(tubegrader):
    for command in ("show", "cancel"):
        done = tubegrader("jobs", command, str(uuid.uuid4()))
        assert done.code == 2
        assert done.err.startswith("error: no job with an id that starts with")
        assert len(done.err.splitlines()) == 2


def test_the_installed_program_does_the_same(environment: dict[str, str], tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "services.cli.main", "sql", "--json", "-c", "SELECT 1 AS n"],
        env={**environment, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert json.loads(done.stdout) == [{"n": 1}]
    assert done.stderr == ""


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO PROGRAM 'touch {mark}'",
        "COPY (SELECT 1) TO '{mark}'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('/')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT rolpassword FROM pg_authid",
        "SET ROLE tubegrader",
        "SET SESSION AUTHORIZATION tubegrader",
        "ALTER ROLE tubegrader_analyst SUPERUSER",
        "DO $$ BEGIN RESET ROLE; PERFORM pg_read_file('/etc/passwd'); END $$",
        (
            "SELECT set_config('role', 'none', true), "
            "query_to_xml('SELECT pg_read_file(''/etc/passwd'')', true, true, '')"
        ),
        (
            "SELECT set_config('default_transaction_read_only', 'off', false), "
            "query_to_xml('DELETE FROM channels RETURNING 1', true, true, '')"
        ),
    ],
)
def test_an_analyst_can_do_nothing_but_read(
    tubegrader, one_channel, context: Context, query: str, tmp_path: Path
):
    mark = tmp_path / "mark"
    done = tubegrader("sql", "-c", query.format(mark=mark) if "{mark}" in query else query)
    assert done.code == 2, done.out
    assert not mark.exists()
    assert value(context, "SELECT count(*) FROM channels") == 1


def test_a_query_has_its_time(tubegrader, one_channel):
    done = tubegrader("sql", "--json", "-c", "SHOW statement_timeout")
    assert json.loads(done.out) == [{"statement_timeout": "1min"}]


def test_a_query_that_takes_longer_is_ended(tubegrader, context: Context):
    limit = f"ALTER ROLE tubegrader_analyst IN DATABASE {context.engine.url.database} SET"
    with owner_engine(context) as engine, engine.begin() as connection:
        connection.execute(text(f"{limit} statement_timeout = '50ms'"))
    done = tubegrader("sql", "-c", "SELECT pg_sleep(30)")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: canceling statement due to statement timeout")


def test_psql_of_the_owner_needs_the_owners_address(context: Context):
    with pytest.raises(UsageError) as caught:
        querying.open_psql(context, owner=True)
    assert caught.value.reason == "noOwner"
    assert "TUBEGRADER_OWNER_URL" in str(caught.value.hint)


def test_a_superuser_is_no_analyst(context: Context, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(querying, "ANALYST", "nobody_by_this_name")
    as_owner = {"database_url": owned(str(context.settings.database_url))}
    context.settings = context.settings.model_copy(update=as_owner)
    with pytest.raises(UsageError) as caught:
        querying.run_query(context, "SELECT 1")
    assert caught.value.reason == "noAnalyst"
    own = context.settings.model_copy(
        update={
            "analyst_url": SecretStr(
                context.engine.url.set(
                    drivername="postgresql", username="tubegrader_analyst"
                ).render_as_string()
            )
        }
    )
    context.settings = own
    assert querying.run_query(context, "SELECT current_user") == (
        ["current_user"],
        [("tubegrader_analyst",)],
    )
