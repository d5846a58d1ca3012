"""Try mutated inputs at the doors: ``python -m tests.fuzz --door pictures --minutes 10``."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.doors import DOORS
from tests.fuzz.runner import run


def main() -> int:
    """Run one door here, or each in a process of its own; return 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--door", choices=DOORS, help="only this one; all of them if left out")
    parser.add_argument("--minutes", type=float, help="so long a door; 10 if left out")
    parser.add_argument("--inputs", type=int, help="so many inputs instead")
    parser.add_argument("--seed", type=int, default=1, help="decides about every input")
    parser.add_argument("--keep", type=Path, help="where inputs with findings are kept")
    asked = parser.parse_args()
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="fuzz-findings-"))
    folder.mkdir(parents=True, exist_ok=True)
    if asked.door is None:
        given = sys.argv[1:] + ([] if asked.keep else ["--keep", str(folder)])
        commands = [[sys.executable, "-m", "tests.fuzz", "--door", d, *given] for d in DOORS]
        return max(
            int(subprocess.run(command, check=False).returncode != 0) for command in commands
        )
    seconds = None if asked.inputs is not None else 60 * (asked.minutes or 10)
    done = run(asked.door, seed=asked.seed, inputs=asked.inputs, seconds=seconds, folder=folder)
    print(done)
    for what, path in done.findings.items():
        print(f"  {what}: {path}")
    return int(bool(done.findings))


if __name__ == "__main__":
    sys.exit(main())
