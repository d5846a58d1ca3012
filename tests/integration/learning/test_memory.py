"""What batch jobs take of memory: no more for ten times as many videos in the database."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from services.embedded import Endpoints
from tests.support import masses
from tests.support.databases import own_database
from tests.support.memory import peak_megabytes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1_800),
    pytest.mark.xdist_group("the same catalogues"),
]

FEW, MANY = 10_000, 100_000
MOST_TIMES = 1.1
ROWS = {masses.OF_ALL: 3_000}
"""Bytes a video that a job's own result is: there is no sample of speech, of two segments each."""


@pytest.fixture(scope="module")
def catalogues(
    endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[tuple[str, Path]]]:
    """Two databases with their folders: one of ten times as many videos as the other."""
    folders = [tmp_path_factory.mktemp("memory") for _ in range(2)]
    with (
        own_database(endpoints.database_url, "test_memory_few") as few,
        own_database(endpoints.database_url, "test_memory_many") as many,
    ):
        for url, folder, n in zip((few, many), folders, (FEW, MANY), strict=True):
            with closing(masses.context_in(url, folder)) as context:
                masses.fill(context, n)
                masses.learn(context)
        yield list(zip((few, many), folders, strict=True))


@pytest.mark.parametrize("job", [name for name in masses.JOBS if name != "nothing"])
def test_ten_times_as_many_videos_take_no_more_memory(job, catalogues):
    few, many = (peak_megabytes(masses.WORK, job, url, folder) for url, folder in catalogues)
    result = ROWS.get(job, 0) * (MANY - FEW) / 2**20
    assert many <= MOST_TIMES * few + result, f"{job}: {many:.0f} MB, of few {few:.0f} MB"
