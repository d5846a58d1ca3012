"""Who uses a home right now: what was started is stopped when the last of them leaves."""

import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.embedded.home import Home, read_json, write_json
from services.embedded.identity import ProcessId


@dataclass(frozen=True)
class Holder:
    """One use of the stack by one process; a process may use it several times over."""

    file: Path
    process: ProcessId
    role: str
    command: str

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {"pid": self.process.pid, "role": self.role, "command": self.command}


def hold(home: Home, role: str, process: ProcessId | None = None) -> Holder:
    """Record that a process, by default this one, uses the home. Holds the home's lock."""
    process = process or ProcessId.current()
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:3]])
    file = home.holders / f"{process.pid}-{secrets.token_hex(4)}.json"
    write_json(file, {"process": process.as_json(), "role": role, "command": command})
    return Holder(file, process, role, command)


def release(holder: Holder) -> None:
    """Record that a use ended. Holds the home's lock."""
    holder.file.unlink(missing_ok=True)


def living(home: Home) -> list[Holder]:
    """Return the uses whose process still runs."""
    found = []
    for file in sorted(home.holders.glob("*.json")):
        record = read_json(file)
        process = ProcessId.from_json(record.get("process"))
        if process is not None and process.alive():
            found.append(Holder(file, process, record["role"], record["command"]))
    return found


def of_process(home: Home, process: ProcessId) -> list[Holder]:
    """Return the uses by one process."""
    return [holder for holder in living(home) if holder.process == process]


def drop_dead(home: Home) -> None:
    """Forget the uses whose process was killed. Holds the home's lock."""
    alive = {holder.file for holder in living(home)}
    for file in home.holders.glob("*.json"):
        if file not in alive:
            file.unlink(missing_ok=True)


def drop_all(home: Home) -> list[Holder]:
    """Forget all uses and return those that were alive. Holds the home's lock."""
    users = living(home)
    for file in home.holders.glob("*.json"):
        file.unlink(missing_ok=True)
    return users
