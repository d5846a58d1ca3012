"""Thumbnails collected per second from a server that is 50 ms away."""

import asyncio
import io
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from PIL import Image
from sqlalchemy import text

from benchmarks import place
from benchmarks.measure import Measurement, interleaved, timed
from db.queries.work import work_items
from services.context import Context
from services.emulator.server import address, bind
from services.media import thumbnails
from services.work.kinds import WORK_KINDS

NOW = datetime(2026, 7, 15, tzinfo=UTC)
LATENCY_S = 0.05
PICTURES, ROUNDS = 4_000, 3
IN_FLIGHT = 200
RIVAL_PYTHON = os.environ.get("IMG2DATASET_PYTHON", sys.executable)
"""An interpreter that has img2dataset; ours need not."""
BARE_LOOP_BUDGET = 0.12
"""Where there is no img2dataset: it reaches 0.11 of the bare loop, measured side by side."""


def measure(*, full: bool) -> list[Measurement]:
    """Collect the same pictures with TubeGrader and with another, in turn."""
    del full
    with (
        place.folder() as folder,
        _server(folder) as url,
        place.empty_context(folder, thumbnail_url=url) as context,
    ):
        place.add_videos(context, PICTURES, slot=NOW)
        ids = [f"{i:011d}" for i in range(1, PICTURES + 1)]
        urls = [f"{url}/vi/{video_id}/mqdefault.jpg" for video_id in ids]
        sides = [lambda: _collect(context), lambda: _bare_loop(urls)]
        if _has_img2dataset():
            sides.append(lambda: _img2dataset(urls, folder))
        seconds = interleaved(sides, rounds=ROUNDS)
    ours, bare, *rival = (PICTURES / s for s in seconds)
    measured = f"{ours:,.0f}/s"
    what = "thumbnails collected, 50 ms away"
    measurements = [
        Measurement(
            what,
            measured,
            f"bare aiohttp loop that keeps nothing, {bare:,.0f}/s",
            ours / bare,
            at_least=None if rival else BARE_LOOP_BUDGET,
        )
    ]
    measurements += [
        Measurement(what, measured, f"img2dataset, {r:,.0f}/s", ours / r, at_least=1) for r in rival
    ]
    return measurements


def _collect(context: Context) -> float:
    """Fetch, check, store and record all pictures in the batches that the dispatcher claims."""
    with context.engine.begin() as connection:
        connection.execute(text("TRUNCATE video_thumbnails, thumbnails CASCADE"))
        connection.execute(
            text(
                "UPDATE work_items SET state = 'due', slot = :slot, ready_at = :slot, "
                "lease_token = NULL WHERE kind = 'video.thumbnail'"
            ),
            {"slot": NOW},
        )
    shutil.rmtree(str(context.settings.storage_url).removeprefix("file://"))

    def collect() -> None:
        stored = 0
        while True:
            with context.transaction() as session:
                token = work_items.claim(
                    session,
                    "video.thumbnail",
                    limit=WORK_KINDS["video.thumbnail"].batch_size,
                    now=NOW,
                    lease=timedelta(hours=1),
                )
            if token is None:
                break
            stored += thumbnails.fetch_batch(context, token)
        assert stored == PICTURES

    return timed(collect)


def _bare_loop(urls: list[str]) -> float:
    """Get every address and throw the bytes away."""

    async def get_all() -> None:
        pending = iter(urls)
        connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def get_some() -> None:
                for url in pending:
                    async with session.get(url) as answer:
                        assert answer.status == 200
                        await answer.read()

            await asyncio.gather(*(get_some() for _ in range(IN_FLIGHT)))

    return timed(lambda: asyncio.run(get_all()))


def _has_img2dataset() -> bool:
    argv = [RIVAL_PYTHON, "-c", "import img2dataset"]
    return subprocess.run(argv, check=False, capture_output=True).returncode == 0


def _img2dataset(urls: list[str], folder: Path) -> float:
    """Run img2dataset, the bytes kept as they come like ours; its imports do not count."""
    listed, output = folder / "urls.txt", folder / "img2dataset"
    listed.write_text("\n".join(urls) + "\n", "utf-8")
    shutil.rmtree(output, ignore_errors=True)
    code = (
        "import sys, time; from img2dataset import download\n"
        "if __name__ == '__main__':\n"
        "    started = time.perf_counter()\n"
        "    download(url_list=sys.argv[1], output_folder=sys.argv[2], resize_mode='no',\n"
        "             processes_count=1, thread_count=64, disable_all_reencoding=True)\n"
        "    print('seconds', time.perf_counter() - started)\n"
    )
    script = folder / "rival.py"
    script.write_text(code, "utf-8")
    argv = [RIVAL_PYTHON, str(script), str(listed), str(output)]
    output = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    assert len(list(output.rglob("*.jpg"))) == PICTURES
    return float(output.rsplit("seconds", 1)[1])


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """Run the server in a process of its own."""
    bound = bind("127.0.0.1", 0)
    pictures = [_picture(seed) for seed in range(200)]
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_serve, args=(bound, pictures, folder), daemon=True)
    process.start()
    try:
        yield address(bound)
    finally:
        process.terminate()
        process.join()
        bound.close()


def _serve(bound: Any, pictures: list[bytes], folder: Path) -> None:
    import uvicorn

    async def app(scope: Any, receive: Any, send: Any) -> None:
        del receive
        await asyncio.sleep(LATENCY_S)
        # Each video has a picture of its own: bytes after a JPEG's end are part of its file.
        name = scope["path"].split("/")[2].encode()
        body = pictures[int(name) % len(pictures)] + name
        headers = [
            (b"content-type", b"image/jpeg"),
            (b"content-length", str(len(body)).encode()),
            (b"etag", b'"' + name + b'"'),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
    with (folder / "server.log").open("w") as log:
        sys.stderr = log
        uvicorn.Server(config).run(sockets=[bound])


def _picture(seed: int) -> bytes:
    """Return a JPEG of 320 by 180 pixels and about 10 kB, like YouTube's."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (23, 40, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((320, 180), Image.Resampling.BICUBIC)
    noisy = np.asarray(image, dtype=np.int16) + rng.integers(-12, 13, (180, 320, 3))
    encoded = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(encoded, "JPEG", quality=75)
    return encoded.getvalue()
