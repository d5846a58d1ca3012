"""``python -m services.emulator``: the offline YouTube without the rest of TubeGrader's CLI."""

import sys

import typer

from services.cli.emulator import emulator
from services.errors import TubeGraderError

if __name__ == "__main__":
    try:
        typer.run(emulator)
    except TubeGraderError as error:
        print(f"Error: {error}", file=sys.stderr)
        if error.hint:
            print(error.hint, file=sys.stderr)
        sys.exit(2)
