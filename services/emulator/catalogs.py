"""Which catalogue, clock and faults the command line asks for."""

from datetime import UTC, datetime
from pathlib import Path

from services.clock import Clock, system_clock
from services.emulator.catalog import Catalog
from services.emulator.clock import WorldClock
from services.emulator.faults import FaultPlan
from services.emulator.folder import folder_catalog
from services.emulator.living import living_catalog
from services.emulator.recordings import is_recordings, recordings_catalog
from services.emulator.synthetic import DEFAULT_EFFECT, synthetic_catalog
from services.errors import UsageError


def choose_catalog(
    *,
    folder: Path | None,
    synthetic: bool,
    seed: int,
    channels: int,
    videos: int,
    effect: float | None,
    epoch: str | None,
    days: float | None = None,
) -> Catalog:
    """Return the catalogue of ``folder`` if one is given, else an invented one.

    Raises:
        UsageError: If options contradict each other or the catalogue is bad.
    """
    moment = system_clock() if epoch is None else _moment(epoch)
    if folder is None:
        planted = DEFAULT_EFFECT if effect is None else effect
        if days is None:
            return synthetic_catalog(
                seed=seed, epoch=moment, channels=channels, videos=videos, effect=planted
            )
        return living_catalog(
            seed=seed, epoch=moment, days=days, channels=channels, videos=videos, effect=planted
        )
    if synthetic:
        raise UsageError("Choose one of --synthetic and --catalog.")
    if effect is not None:
        raise UsageError("--effect needs an invented catalogue: real videos have their own.")
    if days is not None:
        raise UsageError("--days needs an invented catalogue: what real videos did is recorded.")
    if is_recordings(folder):
        return recordings_catalog(folder, epoch=moment)
    return folder_catalog(folder, epoch=moment)


def choose_clock(epoch: datetime, *, mode: str | None, speed: float | None) -> Clock:
    """Return the machine's clock, or one that starts at the epoch.

    Raises:
        UsageError: If the options contradict each other or the speed is out of range.
    """
    if mode not in (None, "manual"):
        raise UsageError(f"--clock {mode} is unknown. `manual` is the only one.")
    if mode is not None and speed is not None:
        raise UsageError("Choose one of --clock manual and --speed.")
    if mode is None and speed is None:
        return system_clock
    return WorldClock(epoch, speed=speed or 0.0)


def choose_faults(text: str | None) -> FaultPlan:
    """Return the plan that a share or a file of JSON asks for; none without.

    Raises:
        UsageError: If it is neither.
    """
    if text is None:
        return FaultPlan()
    path = Path(text)
    if not path.is_file():
        return FaultPlan.read(text)
    try:
        return FaultPlan.read(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({error}).") from error


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--epoch {text} is not a moment. Write it as 2026-11-01T00:00:00Z."
        ) from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
