"""The models of a database as a peer runs them: told rows and pictures, it says what they get.

The same computations as a shard's, with neither its store nor its database behind them.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import big
from db.queries.catalog.videos import ToScore
from ml.arrays import FloatArray, ImageArray
from ml.images import decoding, pictures
from ml.runtime.device import choose_device
from ml.thumbnails.backbones.embeddings import PictureNetwork, embed
from ml.thumbnails.backbones.weights import load_backbone
from ml.thumbnails.data.rows import Features
from ml.thumbnails.features.catalogue import measure_all
from ml.thumbnails.features.image_features import ImageFeatures
from ml.thumbnails.models.thumbnail import predict_all
from services.context import Context
from services.learning.thumbnails.loaded import COLUMNS, ladder
from services.settings import Settings

FRAME = (pictures.WIDTH, pictures.HEIGHT)
SMALL = (decoding.WIDTH, decoding.HEIGHT)
RUNTIMES = ("compiled", "torch")
Decoded = dict[str, ImageArray]
"""Pictures by what they are for: ``small`` for networks from scratch, ``frame`` for all else."""


def describe(folder: Path, context: Context, models: Sequence[int], rows: list[ToScore]) -> None:
    """Write down what a peer is to score, pictures as files beside it."""
    settings = json.loads(context.settings.model_dump_json(exclude_defaults=True))
    (folder / "pictures").mkdir()
    for row in rows:
        name = row.thumbnail_sha256
        (folder / "pictures" / name).write_bytes(context.store.get(name))
    described = {"settings": settings, "models": list(models)}
    (folder / "peer.json").write_text(json.dumps(described), "utf-8")
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=COLUMNS)
    with pa.OSFile(str(folder / "rows.arrow"), "wb") as sink, pa.ipc.new_file(sink, COLUMNS) as out:
        out.write_table(table)


def decode(content: bytes) -> Decoded:
    """Decode one picture in both sizes, once."""
    frame, small = decoding.decode_sizes(content, name="it", sizes=(FRAME, SMALL))
    return {"frame": frame, "small": small}


class PeerModel:
    """All that scores, loaded from what :func:`describe` wrote."""

    def __init__(self, folder: Path, runtime: str = RUNTIMES[0]) -> None:
        """Load it.

        Args:
            folder: Where it was written.
            runtime: What runs the pretrained network: ``compiled`` as ours, or plain ``torch``.
        """
        described = json.loads((folder / "peer.json").read_text("utf-8"))
        context = Context(Settings(**described["settings"]), lambda: big.NOW)
        self._ladder = ladder(context, described["models"])
        with pa.memory_map(str(folder / "rows.arrow")) as source:
            self._rows = pa.ipc.open_file(source).read_all()
        backbone = load_backbone()
        self._weights = backbone.sha256
        network = PictureNetwork(backbone.sha256, lambda: backbone)
        self._embed = (
            network.embed
            if runtime == "compiled"
            else lambda shown: embed(shown, backbone.network, choose_device())
        )
        context.close()

    @property
    def names(self) -> list[str]:
        """The pictures' names, row by row."""
        return list(self._rows["thumbnail_sha256"].to_pylist())

    def score(self, places: Sequence[int], decoded: Decoded) -> FloatArray:
        """Return what all models say of rows, by their places: (models, N)."""
        table = self._rows.take(list(places))
        frames = decoded["frame"]
        shown = np.stack([pictures.without_bars(frame) for frame in frames])
        known = ImageFeatures(self._embed(shown), measure_all(list(frames)), self._weights, None)
        channels: list[Any] = table["channel_id"].to_pylist()
        groups = [self._ladder.groups.get(channel) for channel in channels]
        features = Features.of_table(table, decoded["small"], split_groups=groups)
        found = predict_all(self._ladder.rungs, replace(features, image_features=known))
        return np.stack([one.log10_views_per_day for one in found])
