"""Kept embeddings: read from a folder and from a store far away, and against making them anew."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
from sqlalchemy import text

from benchmarks import place
from benchmarks.measure import Measurement, interleaved, timed
from ml.thumbnails.backbones.cache import EmbeddingCache
from ml.thumbnails.backbones.embeddings import WIDTH
from ml.thumbnails.features.extractor import FeatureExtractor
from services.context import Context
from services.emulator.drawing import draw_thumbnail
from services.pack_folder import PackFolder
from services.packs import Packs
from tests.support.far_store import far_store
from tests.support.memory import peak_megabytes
from tests.support.packs import sha

KEPT = 20_000
CHUNK = 512
"""Videos that scoring looks at together."""
FAR_S = 0.15
PICTURES = 200
INDEXED = 1_000_000
ASKED = 2_000


def measure(*, full: bool) -> list[Measurement]:
    """Keep vectors, read them in another order, and look at what the index takes."""
    with place.folder() as folder, place.empty_context(folder) as context:
        _keep(context)
        return [
            *_from_folder(context),
            _memory(context),
            *_from_afar(context, folder),
            _anew(context),
            *_index(context, INDEXED if full else INDEXED // 5),
        ]


def _cache(context: Context, local: PackFolder | None = None) -> EmbeddingCache:
    shared = Packs(context, local)
    return EmbeddingCache(Path("/nowhere"), recipe="bench", width=WIDTH, shared=shared)


def _keep(context: Context) -> None:
    generator = np.random.default_rng(0)
    cache = _cache(context)
    for start in range(0, KEPT, CHUNK):
        names = [sha(number) for number in range(start, min(start + CHUNK, KEPT))]
        cache.add(names, generator.normal(size=(len(names), WIDTH)).astype(np.float32))


def _shuffled() -> list[str]:
    return [sha(int(number)) for number in np.random.default_rng(1).permutation(KEPT)]


def _in_chunks(cache: EmbeddingCache, names: Sequence[str]) -> None:
    """Read as scoring does: a chunk at a time, first what is missing."""
    for start in range(0, len(names), CHUNK):
        some = names[start : start + CHUNK]
        assert not cache.missing(some)
        cache.read(some)


def _raw(context: Context) -> None:
    folder = Path(str(context.settings.storage_url).removeprefix("file://"))
    for name in context.store.names():
        (folder / name[:2] / name).read_bytes()


def _from_folder(context: Context) -> Iterator[Measurement]:
    names, in_order = _shuffled(), [sha(number) for number in range(KEPT)]
    ways: dict[str, Callable[[], object]] = {
        "at once": lambda: _cache(context).read(names),
        "by 512 as they were kept": lambda: _in_chunks(_cache(context), in_order),
        "by 512 in any order": lambda: _in_chunks(_cache(context), names),
    }
    for way, read in ways.items():
        ours, raw = interleaved(
            (partial(timed, read), partial(timed, partial(_raw, context))), rounds=3
        )
        yield Measurement(
            f"{KEPT:,} kept embeddings from a folder, {way}",
            f"{KEPT / ours:,.0f}/s",
            f"the bytes alone, {KEPT / raw:,.0f}/s",
            raw / ours,
        )


READ = """
from services.context import Context
from services.settings import Settings
import benchmarks.embeddings as bench
context = Context(Settings(database_url=sys.argv[1], storage_url=sys.argv[2]))
names = [bench.sha(number) for number in range(int(sys.argv[3]))]
bench._in_chunks(bench._cache(context), names)
"""


def _memory(context: Context) -> Measurement:
    settings = context.settings
    few, many = (
        peak_megabytes(READ, str(settings.database_url), str(settings.storage_url), str(n))
        for n in (KEPT // 10, KEPT)
    )
    return Measurement(
        f"memory of reading {KEPT:,} by {CHUNK}",
        f"{many:.0f} MB",
        f"{KEPT // 10:,}, {few:.0f} MB",
        many / few,
        at_most=1.1,
    )


@contextmanager
def _far(context: Context) -> Iterator[Context]:
    """Yield the same database with its objects in a store that takes its time."""
    with far_store(FAR_S) as environment, mock.patch.dict(os.environ, environment):
        far = Context(
            context.settings.model_copy(update={"storage_url": "s3://far"}), context.clock
        )
        names = context.store.names()
        for start in range(0, len(names), 10):
            far.store.put_many(context.store.get_many(names[start : start + 10]))
        try:
            yield far
        finally:
            far.close()


def _from_afar(context: Context, folder: Path) -> Iterator[Measurement]:
    names = _shuffled()
    in_order = [sha(number) for number in range(KEPT)]
    local = PackFolder(folder / "packs", 10**9)
    with _far(context) as far:
        ways: dict[str, Callable[[], object]] = {
            "at once": lambda: _cache(far).read(names),
            "by 512 as they were kept": lambda: _in_chunks(_cache(far), in_order),
            "by 512 in any order": lambda: _in_chunks(_cache(far), names),
            "by 512 in any order, first with a disk": lambda: _in_chunks(_cache(far, local), names),
            "by 512 in any order, again with a disk": lambda: _in_chunks(_cache(far, local), names),
        }
        raw = timed(lambda: far.store.get_many(context.store.names()))
        for way, read in ways.items():
            took = timed(read)
            yield Measurement(
                f"{KEPT:,} kept embeddings, {FAR_S * 1000:.0f} ms away, {way}",
                f"{KEPT / took:,.0f}/s",
                f"the packs as objects, {KEPT / raw:,.0f}/s",
                raw / took,
            )


def _anew(context: Context) -> Measurement:
    """Hold what a night with new heads reads against what one with a new network computes."""
    pictures = {sha(seed): draw_thumbnail(seed, 0.5) for seed in range(PICTURES + 1)}
    first, *names = pictures

    with TemporaryDirectory() as folder:
        extractor = FeatureExtractor(Path(folder), measures=False, shared=Packs(context))

        def ask() -> object:
            return extractor.extract(names, pictures.__getitem__)

        # The network's graph is made by then.
        extractor.extract([first], pictures.__getitem__)
        anew = timed(ask)
        [again] = interleaved((partial(timed, ask),), rounds=3)
    return Measurement(
        f"embeddings of {PICTURES} pictures that are kept",
        f"{PICTURES / again:,.0f}/s",
        f"made by the network, {PICTURES / anew:,.1f}/s",
        anew / again,
        at_least=20,
    )


def _index(context: Context, n: int) -> Iterator[Measurement]:
    with context.engine.begin() as connection:
        connection.execute(text("TRUNCATE embeddings, embedding_packs CASCADE"))
        recipe = connection.execute(text("SELECT min(recipe_id) FROM embedding_recipes")).scalar()
        connection.execute(
            text(
                "INSERT INTO embedding_packs (pack_sha256, recipe_id, n_rows, first_byte, "
                "byte_size, stored_at) SELECT encode(sha256(i::text::bytea), 'hex'), :recipe, "
                "1000, 200, 8300000, now() FROM generate_series(1, :n / 1000) i"
            ),
            {"recipe": recipe, "n": n},
        )
        first = connection.execute(text("SELECT min(pack_id) FROM embedding_packs")).scalar()
        connection.execute(
            text(
                "INSERT INTO embeddings (pack_id, checksum, recipe_id, pack_row, picture) "
                "SELECT :first + i / 1000, i, :recipe, i % 1000, "
                "sha256(('v' || lpad(i::text, 10, '0'))::bytea) "
                "FROM generate_series(0, :n - 1) i"
            ),
            {"first": first, "recipe": recipe, "n": n},
        )
    with context.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(text("VACUUM ANALYZE embeddings"))
        size = connection.execute(text("SELECT pg_total_relation_size('embeddings')")).scalar_one()
    yield Measurement(
        f"index of {n:,} embeddings", f"{size / n:.0f} bytes a row", "—", size / n, at_most=200
    )
    names = [sha(int(number)) for number in np.random.default_rng(2).permutation(n)[:ASKED]]
    packs = Packs(context)
    [took] = interleaved(
        (lambda: timed(lambda: packs._wanted(recipe, [bytes.fromhex(x) for x in names])),),  # noqa: SLF001
        rounds=5,
    )
    yield Measurement(
        f"{ASKED:,} of {n:,} looked up", f"{took * 1000:.0f} ms", "100 ms", took / 0.1, at_most=1
    )
