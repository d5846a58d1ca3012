"""Vectors of pictures in packs: found by every machine, whole or not at all."""

import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from db.queries.learning import embeddings
from ml.errors import LearningError
from ml.thumbnails.backbones.local import LocalVectors
from ml.thumbnails.backbones.packs import MOST_ROWS, rows_of_pack, unpack
from services.context import Context
from services.learning.thumbnails.adopting import adopt
from services.pack_folder import PackFolder
from services.packs import Packs
from tests.support.packs import (
    RECIPE,
    WIDTH,
    cache,
    damage,
    keep,
    names_of,
    packs,
    path_of,
    sha,
    value,
    vectors_of,
)


@pytest.fixture
def ranges(context: Context, monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """What is asked of the store, call by call."""
    asked: list[dict] = []
    get_ranges = context.store.get_ranges

    def watched(wanted):
        asked.append(dict(wanted))
        return get_ranges(wanted)

    monkeypatch.setattr(context.store, "get_ranges", watched)
    return asked


def test_what_one_process_kept_another_reads_in_any_order(context: Context):
    keep(context, range(300))
    keep(context, range(200, 400))
    assert len(packs(context)) == 2
    assert len(context.store.names()) == 2
    asked = [399, 7, 250, 7, 0]
    other = cache(context)
    assert other.missing(names_of([*asked, 400])) == [sha(400)]
    np.testing.assert_array_equal(other.read(names_of(asked)), vectors_of(asked))
    assert value(context, "SELECT count(*) FROM embeddings") == 400


def test_a_pack_says_itself_what_is_in_it(context: Context):
    keep(context, range(5))
    content = context.store.get(packs(context)[0])
    pictures, vectors = unpack(content)
    assert [picture.hex() for picture in pictures] == names_of(range(5))
    np.testing.assert_array_equal(vectors, vectors_of(range(5)))
    assert RECIPE.encode() in content[:400]


def test_many_are_more_packs_than_one_and_few_are_never_one_object_each(context: Context):
    assert rows_of_pack(4128) == 1016
    assert rows_of_pack(WIDTH) == MOST_ROWS
    keep(context, range(MOST_ROWS + 1))
    assert [path_of(context, name).stat().st_size > 0 for name in packs(context)] == [True, True]
    asked = range(MOST_ROWS - 2, MOST_ROWS + 1)
    np.testing.assert_array_equal(cache(context).read(names_of(asked)), vectors_of(asked))


def test_few_vectors_are_read_by_their_ranges_and_most_of_a_pack_as_one(
    context: Context, ranges: list[dict]
):
    keep(context, range(1000))
    [pack] = packs(context)
    cache(context).read(names_of([10, 12]))
    assert [end - start for start, end in ranges[-1][pack]] == [2 * WIDTH] * 2
    cache(context).read(names_of(range(600)))
    assert ranges[-1][pack] == [(0, path_of(context, pack).stat().st_size)]
    assert len(ranges) == 2


def test_nothing_is_asked_of_the_store_for_what_the_index_does_not_know(
    context: Context, ranges: list[dict]
):
    keep(context, range(3))
    assert cache(context).missing(names_of(range(3, 9))) == names_of(range(3, 9))
    assert cache(context, recipe="other-v1").missing(names_of([1])) == names_of([1])
    assert not any(ranges)


KEEPER = textwrap.dedent(
    """
    import sys
    from services.context import Context
    from services.settings import Settings
    from tests.support.packs import cache, names_of, vectors_of
    context = Context(Settings(database_url=sys.argv[1], storage_url=sys.argv[2]))
    kept = cache(context)
    print("ready", flush=True)
    sys.stdin.readline()
    numbers = list(range(600))[:: int(sys.argv[3])]
    for start in range(0, len(numbers), 60):
        some = numbers[start : start + 60]
        kept.add(names_of(some), vectors_of(some) + int(sys.argv[3]))
    context.close()
    """
)


def test_two_processes_that_make_the_same_at_once_are_harmless(context: Context):
    settings = context.settings
    started = [
        subprocess.Popen(
            [sys.executable, "-c", KEEPER, settings.database_url, settings.storage_url, order],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for order in ("1", "-1")
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.communicate("go\n", timeout=60)
        assert process.returncode == 0
    found = cache(context).read(names_of(range(600))) - vectors_of(range(600))
    # Each is one of the two, as a whole.
    assert (found == found[:, :1]).all()
    assert set(np.unique(found)) <= {-1, 1}


def test_who_is_killed_between_pack_and_index_leaves_nothing_that_is_read(
    context: Context, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patched:
        patched.setattr(embeddings, "add_pack", lambda *_, **__: sys.exit(9))
        with pytest.raises(SystemExit):
            keep(context, range(10))
    assert len(context.store.names()) == 1
    assert cache(context).missing(names_of(range(10))) == names_of(range(10))
    keep(context, range(10))
    assert packs(context) == context.store.names()
    assert cache(context).missing(names_of(range(10))) == []


def test_a_damaged_vector_is_said_and_made_anew_and_never_a_wrong_number(context: Context):
    keep(context, range(10))
    [pack] = packs(context)
    damage(path_of(context, pack), row=9)
    again = cache(context)
    with capture_logs() as said:
        assert again.missing(names_of(range(10))) == [sha(9)]
    assert [(entry["event"], entry["pack"], entry["pictures"]) for entry in said] == [
        ("embeddings.damaged", pack, 1)
    ]
    with pytest.raises(LearningError, match="compute them first"):
        cache(context).read(names_of(range(10)))
    again.add([sha(9)], vectors_of([9]))
    np.testing.assert_array_equal(again.read(names_of(range(10))), vectors_of(range(10)))
    np.testing.assert_array_equal(cache(context).read([sha(9)]), vectors_of([9]))


def test_a_damaged_pack_is_put_anew_where_the_same_is_made_again(context: Context):
    keep(context, [1])
    damage(path_of(context, packs(context)[0]), row=0)
    again = cache(context)
    assert again.missing([sha(1)]) == [sha(1)]
    again.add([sha(1)], vectors_of([1]))
    np.testing.assert_array_equal(cache(context).read([sha(1)]), vectors_of([1]))


@pytest.mark.parametrize("cut", [True, False], ids=["cut short", "gone"])
def test_a_pack_that_is_lost_is_made_anew(context: Context, cut: bool):
    keep(context, range(10))
    keep(context, range(10, 20))
    path = path_of(context, packs(context)[0])
    if cut:
        path.write_bytes(path.read_bytes()[:50])
    else:
        path.unlink()
    again = cache(context)
    with capture_logs() as said:
        assert again.missing(names_of(range(20))) == names_of(range(10))
    assert {entry["event"] for entry in said} & {"embeddings.pack_missing", "embeddings.damaged"}
    again.add(names_of(range(10)), vectors_of(range(10)))
    np.testing.assert_array_equal(cache(context).read(names_of(range(20))), vectors_of(range(20)))


def test_a_pack_that_was_rewritten_meanwhile_is_looked_for_again(
    context: Context, monkeypatch: pytest.MonkeyPatch
):
    keep(context, range(10))
    [old] = packs(context)
    get_ranges = context.store.get_ranges

    def as_somebody_rewrites(wanted):
        if old in wanted:
            with context.transaction() as session:
                embeddings.forget(session, names_of(range(10)))
            context.store.delete_many([old])
            keep(context, range(9, -1, -1))
        return get_ranges(wanted)

    monkeypatch.setattr(context.store, "get_ranges", as_somebody_rewrites)
    with capture_logs() as said:
        found = cache(context).read(names_of(range(10)))
    np.testing.assert_array_equal(found, vectors_of(range(10)))
    assert said == []


def test_a_disk_keeps_copies_and_lets_go_of_the_oldest(
    context: Context, tmp_path: Path, ranges: list[dict]
):
    for first in range(0, 900, 300):
        keep(context, range(first, first + 300))
    size = max(path_of(context, name).stat().st_size for name in packs(context))
    local = PackFolder(tmp_path / "packs", 2 * size + size // 2)
    for first in (0, 300, 0):
        found = cache(context, local=local).read(names_of(range(first, first + 300)))
        np.testing.assert_array_equal(found, vectors_of(range(first, first + 300)))
    assert [len(asked) for asked in ranges] == [1, 1, 0]
    cache(context, local=local).read(names_of(range(600, 900)))
    kept = {path.name for path in (tmp_path / "packs").iterdir()}
    assert kept == {packs(context)[0], packs(context)[2]}
    # A copy that is damaged is no copy.
    damage(tmp_path / "packs" / packs(context)[2], row=299)
    found = cache(context, local=local).read(names_of(range(600, 900)))
    np.testing.assert_array_equal(found, vectors_of(range(600, 900)))


def test_whole_packs_come_along_where_all_of_them_fit_on_the_disk(
    context: Context, tmp_path: Path, ranges: list[dict]
):
    for first in range(0, 1200, 300):
        keep(context, range(first, first + 300))
    local = PackFolder(tmp_path / "packs", 10_000_000)
    cache(context, local=local).read(names_of(range(0, 1200, 4)))
    ranges.clear()
    found = cache(context, local=local).read(names_of(range(1, 1200, 4)))
    np.testing.assert_array_equal(found, vectors_of(range(1, 1200, 4)))
    assert ranges == [{}]


def test_what_an_earlier_release_kept_in_the_home_is_taken_over_once(context: Context):
    old = context.settings.home / "looks"
    LocalVectors(old).put(RECIPE, names_of(range(50)), vectors_of(range(50)).astype(np.float16))
    keep(context, range(10))
    adopt(context, Packs(context))
    assert not list(old.glob("*/*"))
    assert len(packs(context)) == 2
    assert value(context, "SELECT count(*) FROM embeddings") == 50
    np.testing.assert_array_equal(cache(context).read(names_of(range(50))), vectors_of(range(50)))
    adopt(context, Packs(context))
    assert len(packs(context)) == 2


def test_a_recipe_that_is_asked_for_is_in_use(context: Context):
    moments = [datetime(2026, 7, day, 12, tzinfo=UTC) for day in (1, 1, 3)]
    for moment in moments:
        context.clock = lambda moment=moment: moment
        cache(context).missing([sha(1)])
    assert value(context, "SELECT used_at FROM embedding_recipes") == moments[-1]
