"""The commands on policy and transfer as they are typed, on a home of their own."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli.main import app
from services.context import Context
from services.embedded import Endpoints
from services.emulator.drawing import draw_thumbnail
from tests.support.crawl import counts


@pytest.fixture
def typed(context: Context, monkeypatch: pytest.MonkeyPatch):
    """Run a command against the test's own database and store."""
    settings = context.settings
    monkeypatch.setenv("TUBEGRADER_HOME", str(settings.home))
    monkeypatch.setenv("TUBEGRADER_DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("TUBEGRADER_REDIS_URL", str(settings.redis_url))
    monkeypatch.setenv("TUBEGRADER_STORAGE_URL", str(settings.storage_url))

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, words, catch_exceptions=True)

    return run


def test_approvals_are_added_listed_and_revoked(typed, endpoints: Endpoints):
    del endpoints
    words = ("approvals", "add", "letter 7", "--scope", "statistics", "--expires", "2099-01-01")
    assert typed(*words).output.strip() == "recorded"
    assert typed(*words).output.strip() == "known already"
    [found] = json.loads(typed("approvals", "list", "--json").stdout)
    assert (found["reference"], found["state"]) == ("letter 7", "in force")
    assert typed("approvals", "revoke", "letter 7").output.strip() == "revoked 1"
    assert "revoked" in typed("approvals", "list").output
    assert typed("approvals", "revoke", "letter 7").exit_code != 0


def test_import_purge_and_export(typed, context: Context, tmp_path: Path):
    folder = tmp_path / "recorded"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(draw_thumbnail(1, 0.0))
    (folder / "videos.csv").write_text(
        "video_id,channel_id,channel_title,title,published_at,collected_at,view_count,"
        "subscriber_count,thumbnail_file\n"
        f"abcdefghijk,UC{'a' * 22},A,B,2020-01-01T00:00:00Z,2020-02-01T00:00:00Z,5,7,a.jpg\n"
        f"bad,UC{'a' * 22},A,B,2020-01-01T00:00:00Z,2020-02-01T00:00:00Z,5,7,\n"
    )
    refused = tmp_path / "refused.csv"
    done = typed("import", str(folder), "--report", str(refused))
    assert done.exit_code == 0, done.output
    assert "1 new videos" in done.output
    assert "1 refused: badVideoId" in done.output
    assert refused.read_text().splitlines()[1].startswith("videos.csv,3,badVideoId,")
    out = tmp_path / "out"
    exported = json.loads(
        typed("export", str(out), "--format", "csv", "--what", "videos,thumbnails", "--json").stdout
    )
    assert exported["rows"] == {"videos": 1, "pictures": 1, "thumbnails": 1}
    said = typed("purge", "--kind", "video-statistics")
    assert "nothing was changed" in said.output
    assert counts(context)["video_snapshots"] == 1
    report = json.loads(typed("purge", "--yes", "--json").stdout)
    assert {k["kind"]: k["rows"] for k in report["kinds"]}["video-statistics"] == 1
    assert counts(context)["video_snapshots"] == 0
