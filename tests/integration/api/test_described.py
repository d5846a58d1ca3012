"""The interface holds to its description: schemathesis asks everything, and a client is generated.

Both tools are programs of their own: on the PATH, or as ``SCHEMATHESIS`` and ``CLIENT_GENERATOR``
name them.
"""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from services.context import Context
from tests.support.api import api_process
from tests.support.catalogue import Catalogue, scored_catalogue

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",
)


def program(variable: str, name: str) -> str:
    found = os.environ.get(variable) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: CONTRIBUTING.md tells how to run this")
    return found


@pytest.fixture
def filled(context: Context) -> Catalogue:
    return scored_catalogue(context, NOW, 5)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_nothing_breaks_and_every_answer_is_documented(
    context: Context, filled: Catalogue, tmp_path: Path
) -> None:
    schemathesis = program("SCHEMATHESIS", "schemathesis")
    # A job that nobody works on is followed for as long as somebody reads.
    (tmp_path / "schemathesis.toml").write_text("max-stream-events = 1\n")
    with api_process(context, tmp_path) as (url, _):
        done = subprocess.run(
            [
                *(schemathesis, "run", f"{url}/api/v1/openapi.json", "--no-color"),
                *("--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing"),
                *("--max-examples", "10", "--seed", "1", "--request-timeout", "120"),
                "--continue-on-failure",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-20_000:]


def test_a_client_is_generated_without_a_gap_and_asks(
    context: Context, client: TestClient, filled: Catalogue, tmp_path: Path
) -> None:
    generator = program("CLIENT_GENERATOR", "openapi-python-client")
    document = client.get("/api/v1/openapi.json").json()
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    done = subprocess.run(
        [
            *(generator, "generate", "--path", str(tmp_path / "openapi.json")),
            *("--output-path", str(tmp_path / "made_client"), "--meta", "none"),
        ],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    said = done.stdout + done.stderr
    gaps = [line for line in said.splitlines() if line.startswith("WARNING parsing")]
    # Pictures and streams are bytes, which a generated client leaves to whoever asks.
    streams = ("/thumbnails/", "/export/{view}", "/events", "/metrics")
    assert [gap for gap in gaps if not any(part in gap for part in streams)] == [], said
    script = tmp_path / "asks.py"
    script.write_text(
        "import sys\n"
        "from made_client import Client\n"
        "from made_client.api.videos import list_videos\n"
        "from made_client.api.jobs import submit_job, show_job\n"
        "from made_client.models import NewJob\n"
        "client = Client(base_url=sys.argv[1])\n"
        "print(len(list_videos.sync(client=client, limit=3).items))\n"
        "job = submit_job.sync(client=client, body=NewJob.from_dict({'kind': 'train'}))\n"
        "print(show_job.sync(job.job_id, client=client).state)\n"
    )
    python = next(
        (p for p in (Path(generator).resolve().parent / "python",) if p.exists()),
        Path(sys.executable),
    )
    with api_process(context, tmp_path) as (url, _):
        asked = subprocess.run(
            [str(python), str(script), url],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
    assert asked.stdout.split() == ["3", "queued"], asked.stderr
