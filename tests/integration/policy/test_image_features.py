"""Image features go with their pictures and with what used them; what is left is packed anew."""

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import text

from ml.thumbnails.backbones.packs import MOST_ROWS
from services.context import Context
from services.crawl.watchlist import forget
from services.errors import PermanentError
from services.policy import embeddings, ownership, retention, sizes
from tests.support.databases import owner_engine
from tests.support.nights import CHANNEL, add_videos
from tests.support.packs import (
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

KIND = embeddings.KIND
COUNT = "SELECT count(*) FROM embeddings"


@pytest.fixture
def shown(context: Context) -> Context:
    """A thousand videos, each with a picture of its own; the store is this database's."""
    add_videos(context, 1_000)
    ownership.claim(context)
    return context


def later(context: Context, days: float) -> None:
    now = context.clock()
    context.clock = lambda: now + timedelta(days=days)


def purged(context: Context, kind: str = KIND, *, dry_run: bool = False) -> retention.KindReport:
    return retention.purge(context, dry_run=dry_run, kinds=[kind]).kinds[0]


def hide(context: Context, numbers: range) -> None:
    with context.transaction() as session:
        session.execute(
            text("UPDATE thumbnails SET purged_at = now() WHERE thumbnail_sha256 = ANY(:names)"),
            {"names": names_of(numbers)},
        )


def test_a_picture_that_is_purged_takes_its_features_along(shown: Context):
    keep(shown, range(1, 1001))
    with shown.transaction() as session:
        session.execute(text("UPDATE thumbnails SET stored_at = now() - interval '40 days'"))
        session.execute(
            text(
                "UPDATE video_thumbnails SET last_seen_at = now() - interval '39 days', "
                "first_seen_at = now() - interval '40 days' WHERE video_id > :last"
            ),
            {"last": "v0000000300"},
        )
    assert purged(shown, "thumbnails").rows == 700
    assert value(shown, COUNT) == 300
    assert cache(shown).missing(names_of([300, 301])) == [sha(301)]


def test_a_channel_that_is_forgotten_takes_its_features_along(shown: Context):
    keep(shown, range(1, 21))
    forget(shown, CHANNEL)
    assert value(shown, COUNT) == 0
    later(shown, 2)
    assert purged(shown).note == "1 packs removed, 0 written anew"
    assert packs(shown) == []
    assert shown.store.names() == []


def test_features_of_pictures_that_are_not_kept_go_after_a_week(shown: Context):
    keep(shown, range(991, 1011))
    assert purged(shown).rows == 0
    later(shown, 8)
    assert purged(shown, dry_run=True).rows == 10
    assert value(shown, COUNT) == 20
    assert purged(shown).rows == 10
    assert value(shown, COUNT) == 10


def test_a_kind_that_no_model_uses_any_more_goes_after_its_term(shown: Context):
    keep(shown, range(1, 11), recipe="old-v1")
    later(shown, 31)
    keep(shown, range(1, 11))
    old = packs(shown)[0]
    found = purged(shown, dry_run=True)
    assert (found.rows, found.kept_days) == (10, 30)
    assert len(packs(shown)) == 2
    found = purged(shown)
    assert found.rows == 10
    assert value(shown, "SELECT recipe FROM embedding_recipes") == "drawn-v1"
    assert old not in shown.store.names()
    assert cache(shown).missing(names_of(range(1, 11))) == []


def test_packs_of_which_little_is_left_are_written_anew_together(shown: Context):
    keep(shown, range(1, 301))
    keep(shown, range(301, 601))
    hide(shown, range(101, 301))
    hide(shown, range(301, 551))
    later(shown, 8)
    old = packs(shown)
    found = purged(shown)
    assert (found.rows, found.note) == (450, "0 packs removed, 2 written anew")
    [new] = packs(shown)
    assert new not in old
    assert shown.store.names() == [new]
    left = [*range(1, 101), *range(551, 601)]
    np.testing.assert_array_equal(cache(shown).read(names_of(left)), vectors_of(left))
    # It is as full as it can be: nothing is written twice.
    assert purged(shown).note is None
    assert packs(shown) == [new]


def test_what_is_put_in_small_packs_becomes_few(shown: Context):
    for first in range(1, 1001, 50):
        keep(shown, range(first, first + 50))
    assert len(packs(shown)) == 20
    used = value(shown, "SELECT used_at FROM embedding_recipes")
    later(shown, 2)
    assert purged(shown).note == "0 packs removed, 20 written anew"
    assert len(packs(shown)) == 1
    # Nobody asked for them: a kind that no model uses goes after its term, packed anew or not.
    assert value(shown, "SELECT used_at FROM embedding_recipes") == used
    everything = range(1, 1001)
    np.testing.assert_array_equal(cache(shown).read(names_of(everything)), vectors_of(everything))


def test_one_night_writes_no_more_anew_than_its_share(
    shown: Context, monkeypatch: pytest.MonkeyPatch
):
    for first in range(1, 801, 200):
        keep(shown, range(first, first + 200))
    monkeypatch.setattr(embeddings, "MOST_REWRITTEN", 1)
    monkeypatch.setattr(embeddings, "rows_of_pack", lambda _width: 400)
    assert purged(shown).note == "0 packs removed, 2 written anew"
    assert len(packs(shown)) == 3
    assert value(shown, COUNT) == 800


def test_what_is_damaged_is_not_carried_over(shown: Context):
    keep(shown, range(1, 11))
    keep(shown, range(11, 21))
    damage(path_of(shown, packs(shown)[0]), row=9)
    purged(shown)
    assert len(packs(shown)) == 1
    assert cache(shown).missing(names_of(range(1, 21))) == [sha(10)]


def test_packs_are_no_orphans_and_what_a_killed_writer_left_is(shown: Context):
    keep(shown, range(1, 11))
    left = shown.store.put(b"a pack that nothing speaks of")
    with shown.transaction() as session:
        session.execute(text("UPDATE thumbnails SET purged_at = now()"))
    later(shown, 8)
    assert purged(shown, "orphans").rows == 1
    assert shown.store.names() == packs(shown)
    assert left not in shown.store.names()


def test_nothing_goes_from_the_store_of_another_installation(shown: Context):
    keep(shown, range(1, 11))
    with owner_engine(shown) as engine, engine.begin() as connection:
        connection.execute(text("UPDATE installation SET installation_id = gen_random_uuid()"))
    later(shown, 60)
    found = purged(shown)
    assert found.refused is not None
    assert found.refused.reason == "foreignStore"
    assert value(shown, COUNT) == 10
    assert packs(shown) == shown.store.names()
    with pytest.raises(PermanentError):
        ownership.check_not_foreign(shown)


def test_what_earlier_releases_kept_one_by_one_goes_with_the_orphans(shown: Context):
    folder = path_of(shown, sha(1)).parent.parent / "derived" / "lite0"
    folder.mkdir(parents=True)
    (folder / sha(1)).write_bytes(b"numbers")
    purged(shown, "orphans", dry_run=True)
    assert (folder / sha(1)).exists()
    purged(shown, "orphans")
    assert not (folder / sha(1)).exists()


def test_verifying_reads_everything_and_counts_what_cannot_be_had(shown: Context):
    for first in range(1, 31, 10):
        keep(shown, range(first, first + 10))
    found = embeddings.verify(shown)
    assert found.clean
    assert (found.packs, found.embeddings) == (3, 30)
    one, two, _ = packs(shown)
    path_of(shown, one).unlink()
    damage(path_of(shown, two), row=9)
    found = embeddings.verify(shown)
    assert not found.clean
    assert (found.missing, found.damaged, found.lost) == (1, 1, 11)


def test_how_large_the_packs_are_is_told(shown: Context):
    keep(shown, range(1, 11))
    kinds = {kind.kind: kind for kind in sizes.measure(shown).kinds}
    found = kinds["packs of image features"]
    assert (found.rows, found.bytes) == (1, path_of(shown, packs(shown)[0]).stat().st_size)


def test_a_full_pack_is_left_alone(shown: Context):
    keep(shown, range(MOST_ROWS))
    before = packs(shown)
    purged(shown)
    assert packs(shown) == before
