"""A store that answers late: as much of S3 as objects need, in a process of its own."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from aiohttp import web

_RANGE = re.compile(r"bytes=(\d+)-(\d+)?")


def application(latency_s: float) -> web.Application:
    """Return a server that keeps objects in memory and lets everybody wait before each answer."""
    objects: dict[str, bytes] = {}

    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(latency_s)
        if request.method == "PUT":
            objects[request.path] = await request.read()
            return web.Response(headers={"ETag": '"1"'})
        if request.method == "DELETE":
            objects.pop(request.path, None)
            return web.Response(status=HTTPStatus.NO_CONTENT)
        if request.path not in objects:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        content = objects[request.path]
        headers = {"ETag": '"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        if request.method == "HEAD":
            return web.Response(headers=headers | {"Content-Length": str(len(content))})
        asked = _RANGE.fullmatch(request.headers.get("Range", ""))
        if asked is None:
            return web.Response(body=content, headers=headers)
        first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
        if first >= len(content):
            return web.Response(status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        part = content[first : last + 1]
        return web.Response(status=HTTPStatus.PARTIAL_CONTENT, body=part, headers=headers)

    served = web.Application(client_max_size=2**30)
    served.router.add_route("*", "/{path:.*}", answer)
    return served


@contextmanager
def far_store(latency_s: float) -> Iterator[dict[str, str]]:
    """Serve while the block runs; yield the environment that points a store at it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.far_store", str(latency_s)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield {
            "TUBEGRADER_STORAGE_URL": "s3://far",
            "AWS_ENDPOINT": f"http://127.0.0.1:{port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_REGION": "us-east-1",
        }
    finally:
        process.kill()
        process.wait()


async def _serve(latency_s: float) -> None:
    runner = web.AppRunner(application(latency_s), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
