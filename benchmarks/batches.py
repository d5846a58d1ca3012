"""What batch jobs take of memory where ten times as many videos are stored."""

from contextlib import ExitStack, closing

from benchmarks import place
from benchmarks.measure import Measurement
from tests.support import masses
from tests.support.memory import peak_megabytes

FEW, MANY = 10_000, 100_000


def measure(*, full: bool) -> list[Measurement]:
    """Do each job in a process of its own on few videos and on many."""
    del full
    with place.folder() as folder, place.empty_context(folder) as context, ExitStack() as opened:
        sides = []
        for name, n in (("few", FEW), ("many", MANY)):
            other = opened.enter_context(place.another_database(context, name))
            url = str(other.settings.database_url)
            with closing(masses.context_in(url, folder / name)) as filled:
                masses.fill(filled, n)
                masses.learn(filled)
            sides.append((url, folder / name))
        return [
            _measured(job, *(peak_megabytes(masses.WORK, job, *side) for side in sides))
            for job in masses.JOBS
            # There is no sample of speech yet: its datasets are of all there is.
            if job != masses.OF_ALL
        ]


def _measured(job: str, few: float, many: float) -> Measurement:
    return Measurement(
        f"memory of “{job}”, {MANY:,} videos stored",
        f"{many:.0f} MB",
        f"{FEW:,} videos stored, {few:.0f} MB",
        many / few,
        at_most=1.1,
    )
