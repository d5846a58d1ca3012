"""Counting: nothing while it is off, a batch's ages as buckets, one line after the other."""

import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from services.metrics import recording
from services.metrics.instruments import DONE, INSTRUMENTS, SNAPSHOTS, TASKS


@pytest.fixture
def registry():
    made = CollectorRegistry()
    recording.switch_on(INSTRUMENTS, made)
    yield made
    recording.switch_off()


def test_nothing_is_counted_or_imported_while_it_is_off():
    program = (
        "import sys\n"
        "from services.metrics.instruments import DONE, SNAPSHOTS, TASKS, ELECTED\n"
        "DONE.add(1, 'a'); SNAPSHOTS.add_all([1.0], 'a'); TASKS.observe(1, 'a', 'b')\n"
        "TASKS.begin('a', 'b'); ELECTED.set(1)\n"
        "sys.exit('prometheus_client' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_ages_of_a_batch_are_buckets_that_a_quantile_understands(registry):
    SNAPSHOTS.add_all([0, 59, 60, 61, 4_000, 10**6], "video.snapshot")
    counted = {
        labels["le"]: registry.get_sample_value("tubegrader_snapshots_within_total", labels)
        for le in ("60", "300", "3600", "14400", "86400", "+Inf")
        for labels in [{"kind": "video.snapshot", "le": le}]
    }
    assert counted == {"60": 3, "300": 4, "3600": 4, "14400": 5, "86400": 5, "+Inf": 6}


def test_what_is_counted_is_told_by_its_name_and_labels(registry):
    DONE.add(3, "video.snapshot")
    TASKS.begin("crawl.snapshot_videos", "crashed")
    text = generate_latest(registry).decode()
    assert 'tubegrader_work_done_total{kind="video.snapshot"} 3.0' in text
    assert 'outcome="crashed",task="crawl.snapshot_videos"} 0.0' in text


def test_no_two_instruments_have_a_name():
    names = [name for instrument in INSTRUMENTS for name in instrument.series]
    assert len(names) == len(set(names))
