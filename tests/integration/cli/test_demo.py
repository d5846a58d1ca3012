"""The whole job through the front door: real workers, real HTTP, real training."""

import csv
import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ml.thumbnails.models.registry import rung_names
from tests.support.buckets import without_bucket
from tests.support.cli import Ran, tubegrader_started
from tests.support.embedded import leftovers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LOG_TABLES = {"jobs", "scorings", "quota_usage", "alembic_version", "promotions"}
"""What a second run may add to: the log of runs, of what was decided, and the units spent."""
ADDED_UP = {"counted_batches", "daily_counts"}
"""What is added up of snapshots, within a minute."""


def demo(home: Path, *options: str) -> Ran:
    ran = tubegrader_started("demo", "--home", str(home), *options, timeout_s=800)
    assert ran.code == 0, ran.err
    assert leftovers(home) == []
    return ran


def query(home: Path, statement: str) -> list[dict[str, Any]]:
    ran = tubegrader_started("--home", str(home), "sql", "-c", statement, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def comparison(home: Path) -> dict[str, Any]:
    ran = tubegrader_started("--home", str(home), "compare", "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def rows_by_table(home: Path) -> dict[str, int]:
    tables = query(
        home,
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition "
        "AND relnamespace = 'public'::regnamespace "
        # Not what analysts may not see, such as tokens.
        "AND has_table_privilege(oid, 'SELECT')",
    )
    names = sorted(t["relname"] for t in tables)
    counts = " UNION ALL ".join(f"SELECT '{n}' AS name, count(*) AS n FROM {n}" for n in names)
    return {row["name"]: row["n"] for row in query(home, counts)}


def objects(home: Path) -> set[str]:
    return {path.name for path in (home / "objects").rglob("*") if path.is_file()}


def test_the_planted_effect_is_found_and_a_second_run_adds_only_snapshots(tmp_path: Path):
    home = tmp_path / "home"
    ran = demo(home)
    found = comparison(home)
    assert found["n_videos"] == 1500
    assert found["n_channels"] == 60
    assert set(found["rungs"]) >= {"constant", "subscribers", "thumbnail", "subscribers+thumbnail"}
    assert found["beyond_subscribers"]["delta_r2"]["low"] > 0
    assert found["sentence"] in ran.out
    assert re.search(r"\[0\.\d{3}, 0\.\d{3}\] beyond subscribers", found["sentence"])
    page = (home / "report.html").read_text("utf-8")
    assert found["sentence"] in page
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)

    heard = query(
        home,
        "SELECT rung, label, segments > 0 AS has_speech FROM language_results ORDER BY rung, label",
    )
    labels = {
        rung: Counter(row["label"] for row in heard if row["rung"] == rung)
        for rung in ("crnn", "spectrogram_cnn")
    }
    assert labels["crnn"] == labels["spectrogram_cnn"]
    assert labels["crnn"] == {"en": 7, "zh": 7}
    assert all(row["has_speech"] for row in heard)
    assert "nothing about accuracy" in ran.out
    assert "source told worst" in ran.out

    rows, kept = rows_by_table(home), objects(home)
    demo(home)
    again = rows_by_table(home)
    changed = {name for name in again if again[name] != rows[name]}
    assert changed - LOG_TABLES - ADDED_UP == {"channel_snapshots", "video_snapshots"}
    assert again["video_snapshots"] == 2 * rows["video_snapshots"] == 3000
    assert objects(home) == kept


def test_an_absent_effect_is_not_found(tmp_path: Path):
    home = tmp_path / "home"
    demo(home, "--effect", "0")
    found = comparison(home)
    assert found["beyond_subscribers"]["delta_r2"]["low"] <= 0
    assert "No effect" in found["sentence"]
    assert found["rungs"]["subscribers"]["auc"]["value"] > 0.8


@pytest.mark.shared_data
def test_real_thumbnails_are_stored_byte_for_byte_scored_and_the_baseline_is_known(
    tmp_path: Path, shared_data: Path
):
    catalog = shared_data / "youtube"
    home = tmp_path / "home"
    ran = demo(home, "--catalog", str(catalog))
    assert "125 × video.thumbnail in doubt: thumbnailMissing" in ran.out
    with (catalog / "videos.csv").open(encoding="utf-8", newline="") as file:
        files = {row["video_id"]: row["thumbnail_file"] for row in csv.DictReader(file)}
    expected = {
        video_id: hashlib.sha256((catalog / name).read_bytes()).hexdigest()
        for video_id, name in files.items()
        if name and (catalog / name).is_file()
    }
    assert len(expected) == 760
    stored = query(home, "SELECT video_id, thumbnail_sha256 FROM video_thumbnails")
    assert {row["video_id"]: row["thumbnail_sha256"] for row in stored} == expected
    for sha256 in expected.values():
        content = (home / "objects" / sha256[:2] / sha256).read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256
    scored = query(home, "SELECT video_id, count(DISTINCT rung) AS n FROM scored_videos GROUP BY 1")
    assert {row["video_id"] for row in scored} == set(expected)
    assert {row["n"] for row in scored} == {len(rung_names())}
    assert comparison(home)["rungs"]["subscribers"]["auc"]["value"] >= 0.90


def test_an_ended_demo_answers_without_being_up_and_refuses_another_world(tmp_path: Path):
    home = tmp_path / "home"
    small = ("--channels", "40", "--videos", "400")
    demo(home, *small)
    other = tubegrader_started("demo", "--home", str(home), "--channels", "41", "--videos", "400")
    assert other.code == 2
    assert "another demo" in other.complaint[0]
    assert tubegrader_started("--home", str(home), "status").code == 3
    jobs = json.loads(tubegrader_started("--home", str(home), "jobs", "list", "--json").out)
    assert [job["kind"] for job in jobs] == ["retrain", "compare", "score", "train", "crawl"]
    assert all(job["state"] == "succeeded" for job in jobs)


def test_a_bucket_that_is_not_there_is_said_before_anything_is_done(tmp_path: Path):
    home = tmp_path / "home"
    with without_bucket() as environment:
        ran = tubegrader_started("demo", "--home", str(home), "--videos", "60", env=environment)
    assert ran.code != 0
    assert "bucket does not exist" in ran.complaint[0]
    assert leftovers(home) == []
