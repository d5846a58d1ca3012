"""Which catalogue the command line asks for."""

from datetime import UTC, datetime
from pathlib import Path

from services.clock import system_clock
from services.emulator.catalog import Catalog
from services.emulator.folder import folder_catalog
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
) -> Catalog:
    """Return the catalogue of ``folder`` if one is given, else an invented one.

    Raises:
        UsageError: If options contradict each other or the catalogue is bad.
    """
    moment = system_clock() if epoch is None else _moment(epoch)
    if folder is None:
        return synthetic_catalog(
            seed=seed,
            epoch=moment,
            channels=channels,
            videos=videos,
            effect=DEFAULT_EFFECT if effect is None else effect,
        )
    if synthetic:
        raise UsageError("Choose one of --synthetic and --catalog.")
    if effect is not None:
        raise UsageError("--effect needs an invented catalogue: real videos have their own.")
    return folder_catalog(folder, epoch=moment)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--epoch {text} is not a moment. Write it as 2026-11-01T00:00:00Z."
        ) from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
