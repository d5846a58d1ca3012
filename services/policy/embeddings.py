"""Letting go of image features: with their pictures, and with the last model that used their kind.

What is left lies in packs, of which little may be alive; those are written anew together, some each
night. A pack is deleted after the transaction in which nothing speaks of it any more: who dies in
between leaves an orphan, and who reads it at that moment looks into the index once more.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import structlog

from db.queries.learning import embeddings
from db.queries.policy import packs as rows
from db.queries.policy.packs import Worn
from ml.thumbnails.backbones.packs import BYTES, MOST_ROWS, pack, rows_of_pack
from services.context import Context
from services.packs import AT_ONCE, Packs, Wanted, put_pack
from services.policy import orphans, ownership
from services.policy.deleting import let_go
from services.policy.purged import KindReport, Run

log = structlog.get_logger()

KIND = "image-features"
MOST_REWRITTEN = 2**30
"""Bytes of worn packs that one purge writes anew."""
PACKS = 20
"""Packs that go with their index in one transaction."""
PICTURES = 10_000
SETTLED = timedelta(days=1)
"""A pack that nothing speaks of may be about to be spoken of: one a day old is not."""


def purge(run: Run, found: KindReport) -> None:
    """Remove what is due, or only count it.

    Raises:
        PermanentError: The store is not this database's (:mod:`services.policy.ownership`).
        TransientError: The store did not answer; running it again goes on.
    """
    context = run.context
    ownership.check_own(context, before=context.clock() - orphans.AGE)
    days = context.settings.retention_image_features_days
    found.kept_days = days
    removed = _unused(run, found, timedelta(days=days))
    _dead(run, found)
    worn = _worn(context)
    if run.dry_run:
        found.note = f"{len(worn):,} packs are worn" if worn else None
        return
    removed += _empty(run, [each for each in worn if not each.alive])
    rewritten = sum(_rewrite(run, group) for group in _groups(worn))
    if removed or rewritten:
        found.note = f"{removed:,} packs removed, {rewritten:,} written anew"


def _unused(run: Run, found: KindReport, kept: timedelta) -> int:
    context, before = run.context, run.context.clock() - kept
    with context.transaction() as session:
        recipes = rows.unused_recipes(session, before=before)
        if run.dry_run:
            found.rows += rows.count_of(session, [number for number, _ in recipes])
            return 0
    removed = 0
    for number, recipe in recipes:
        while True:
            with context.transaction() as session:
                objects, gone = rows.delete_packs_of(session, number, before=before, packs=PACKS)
                if not objects:
                    rows.delete_recipe(session, number, before=before)
            if not objects:
                break
            with context.transaction() as session:
                let_go(session, context.store, objects)
            removed += len(objects)
            run.count(found, gone)
        log.info("purge.recipe_unused", recipe=recipe)
    return removed


def _dead(run: Run, found: KindReport) -> None:
    context = run.context
    after: bytes | None = rows.FIRST
    while after is not None:
        with context.transaction() as session:
            after, gone = rows.dead(
                session,
                after=after,
                before=context.clock() - orphans.AGE,
                pictures=PICTURES,
                delete=not run.dry_run,
            )
        if gone:
            run.count(found, gone)


def _worn(context: Context) -> list[Worn]:
    with context.transaction() as session:
        return rows.worn(session, most_rows=MOST_ROWS, most_bytes=BYTES)


def _empty(run: Run, empty: list[Worn]) -> int:
    """Remove packs that nothing speaks of."""
    with run.context.transaction() as session:
        objects = rows.delete_empty(
            session,
            [each.pack.pack_id for each in empty],
            before=run.context.clock() - SETTLED,
        )
    with run.context.transaction() as session:
        let_go(session, run.context.store, objects)
    return len(objects)


def _groups(worn: list[Worn]) -> Iterator[list[Worn]]:
    """Yield packs that become one, as many as one purge writes anew."""
    size, group = 0, list[Worn]()
    for each in worn:
        if not each.alive:
            continue
        if group and not _fits(each, group):
            if _is_worth_it(group):
                yield group
                size += sum(old.pack.byte_size for old in group)
            group = []
        if size >= MOST_REWRITTEN:
            return
        group.append(each)
    if _is_worth_it(group):
        yield group


def _fits(each: Worn, group: list[Worn]) -> bool:
    held = sum(old.alive for old in group) + each.alive
    return each.recipe_id == group[0].recipe_id and held <= rows_of_pack(each.pack.width)


def _is_worth_it(group: list[Worn]) -> bool:
    """Tell whether fewer packs or bytes come of it; one alone may be small for want of more."""
    return len(group) > 1 or any(2 * old.alive < old.pack.n_rows for old in group)


def _rewrite(run: Run, group: list[Worn]) -> int:
    """Write what is alive in packs into one; return how many packs went."""
    context, first = run.context, group[0]
    ids = [each.pack.pack_id for each in group]
    with context.transaction() as session:
        names = [place.picture.hex() for place in embeddings.places_in(session, ids)]
    pages = list(Packs(context).of_recipe(first.recipe_id, names))
    kept = [bytes.fromhex(name) for found, _ in pages for name in found]
    pack_id = None
    if kept:
        made = pack(first.recipe, kept, np.concatenate([vectors for _, vectors in pages]))
        sha256 = put_pack(context, made.content)
    with context.transaction() as session:
        now = context.clock()
        if kept:
            pack_id = embeddings.add_pack(
                session,
                first.recipe_id,
                sha256=sha256,
                n_rows=len(kept),
                first_byte=made.first_byte,
                byte_size=len(made.content),
                now=now,
            )
            embeddings.move(session, first.recipe_id, pack_id, kept, out_of=ids)
        # What could not be read is in the log; it is made anew by whoever asks.
        old = [number for number in ids if number != pack_id]
        rows.forget_in(session, old)
        objects = rows.delete_empty(session, old, before=now + SETTLED)
    with context.transaction() as session:
        let_go(session, context.store, objects)
    run.progress(KIND, len(objects))
    return len(objects)


@dataclass
class Verified:
    """What was found of the packs of image features.

    Attributes:
        packs: How many there are, by the index.
        embeddings: How many vectors the index says are in them.
        missing: Packs that are not in the store.
        damaged: Packs that are not what was put.
        lost: Vectors that cannot be had of these; whoever asks for one makes it anew.
    """

    packs: int = 0
    embeddings: int = 0
    missing: int = 0
    damaged: int = 0
    lost: int = 0

    @property
    def clean(self) -> bool:
        """Whether everything is there."""
        return not (self.missing or self.damaged or self.lost)


def verify(context: Context, progress: Callable[[int], None] = lambda _packs: None) -> Verified:
    """Read every pack again and hold it, and each vector in it, against the index.

    Raises:
        TransientError: The store did not answer.
    """
    found, after = Verified(), 0
    while True:
        with context.transaction() as session:
            packs = embeddings.packs_after(session, after, limit=max(1, AT_ONCE // BYTES))
            places = embeddings.places_in(session, [each.pack_id for each in packs])
        if not packs:
            return found
        after = packs[-1].pack_id
        contents = context.store.get_ranges({p.sha256: [(0, p.byte_size)] for p in packs})
        for each in packs:
            inside = [place for place in places if place.pack_id == each.pack_id]
            found.packs += 1
            found.embeddings += len(inside)
            content = contents.get(each.sha256)
            if content is None:
                found.missing += 1
                found.lost += len(inside)
                continue
            found.damaged += hashlib.sha256(content[0]).hexdigest() != each.sha256
            wanted = Wanted(each, inside, whole=True)
            both = zip(inside, wanted.rows(content), strict=True)
            found.lost += sum(not wanted.is_whole(place, row) for place, row in both)
        progress(found.packs)
