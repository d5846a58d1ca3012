"""The process: ``python -m services.api``."""

import signal
import socket
import sys

import structlog

from services import log
from services.api.app import create_app
from services.api.server import listen, require_token, server
from services.context import Context
from services.errors import TubeGraderError
from services.metrics import serving
from services.settings import Settings


def main() -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    settings = Settings()
    log.configure(level=settings.log_level, log_format=settings.log_format)
    context = Context.of_process(settings)
    try:
        require_token(context)
        with listen(settings.api_address, settings.api_port) as bound:
            _serve(context, bound)
    except TubeGraderError as error:
        structlog.get_logger().error("api.refused", problem=str(error), hint=error.hint)
        return 1
    finally:
        context.close()
    return 0


def _serve(context: Context, bound: socket.socket) -> None:
    app = create_app(context)
    served = serving.serve(context.settings, app.state.collectors)
    # A supervisor sends SIGTERM; uvicorn handles it by itself.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        server(app, bound).run(sockets=[bound])
    finally:
        app.state.grader.close()
        if served is not None:
            served.close()


if __name__ == "__main__":
    sys.exit(main())
