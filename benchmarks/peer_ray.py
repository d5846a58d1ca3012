"""Ray Data's ``map_batches`` with our models, run by an interpreter that has Ray.

    PYTHONPATH=REPOSITORY:OUR_PACKAGES RAYS_PYTHON -m benchmarks.peer_ray FOLDER RUNTIME TIMES

Reading and decoding are tasks, the models one actor that uses all cores, as the documentation of
batch inference has it. What they say is written to PostgreSQL as ours is, batch by batch, but into
a table without keys. Printed are seconds, of the clock and of processors (the database's, too), for
a picture: between the first batch that comes out and the last, so that neither Ray's start nor the
models' counts.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 32
STARTS = 5


def _begin(ray: Any, *, num_cpus: int) -> None:
    """Start Ray, which gives itself half a minute: too little where others have the cores."""
    for tries_left in reversed(range(STARTS)):
        try:
            ray.init(num_cpus=num_cpus, include_dashboard=False, log_to_driver=False)
        except Exception:  # its own kind is none
            ray.shutdown()
            if not tries_left:
                raise
        else:
            return


def main() -> None:
    """Score the folder's rows so many times over in one pass, and print what a picture takes."""
    import psutil
    import ray
    from sqlalchemy import create_engine, text

    from benchmarks.measure import processor_s_of
    from benchmarks.peer_model import PeerModel, decode
    from ml.runtime.pools import cores

    folder, runtime, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

    settings = json.loads((folder / "peer.json").read_text("utf-8"))["settings"]
    database = create_engine(settings["database_url"])
    with database.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS peer_scores"))
        connection.execute(text("CREATE TABLE peer_scores (place int8, model int8, views float8)"))

    def of_database() -> list[psutil.Process]:
        with database.begin() as connection:
            pids = list(connection.scalars(text("SELECT pid FROM pg_stat_activity")))
        return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]

    class Scorer:
        def __init__(self) -> None:
            self.model = PeerModel(folder, runtime)
            self.database = create_engine(settings["database_url"])

        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            decoded = {"frame": np.stack(batch["frame"]), "small": np.stack(batch["small"])}
            scores = self.model.score(batch["place"].tolist(), decoded)
            self.write(batch["place"].tolist(), scores)
            return {"place": batch["place"], "scores": scores.T}

        def write(self, places: list[int], scores: Any) -> None:
            with self.database.begin() as connection:
                driver: Any = connection.connection.driver_connection
                with driver.cursor() as cursor, cursor.copy("COPY peer_scores FROM STDIN") as sink:
                    for model, said in enumerate(scores.tolist()):
                        for row in zip(places, [model] * len(places), said, strict=True):
                            sink.write_row(row)

    def read(row: dict[str, Any]) -> dict[str, Any]:
        return {"place": row["place"], **decode((folder / "pictures" / row["name"]).read_bytes())}

    # One more than there are, or the tasks that decode would wait for the actor for ever.
    _begin(ray, num_cpus=cores() + 1)
    ray.data.DataContext.get_current().enable_progress_bars = False
    names = PeerModel(folder, runtime).names
    items = [{"place": place, "name": name} for place, name in enumerate(names)] * times
    whole = psutil.Process()
    data = (
        ray.data.from_items(items, override_num_blocks=max(2, len(items) // BATCH))
        .map(read)
        .map_batches(Scorer, batch_size=BATCH, concurrency=1, num_cpus=1)
    )
    done, first = 0, None
    for batch in data.iter_batches(batch_size=BATCH, prefetch_batches=0):
        done += len(batch["place"])
        others = [*whole.children(recursive=True), *of_database()]
        now = done, time.perf_counter(), processor_s_of([whole, *others])
        first = first or now
    if first is None or done != len(items) or now[0] == first[0]:
        raise SystemExit("too few rows came out of it")
    n = now[0] - first[0]
    spent = {"wall_s": (now[1] - first[1]) / n, "processor_s": (now[2] - first[2]) / n}
    print(json.dumps(spent))


if __name__ == "__main__":
    main()
