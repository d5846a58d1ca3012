"""Speech models: training against its bare loop, and decode → features → model against decode."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from benchmarks import place
from benchmarks.measure import Measurement, against_bare_loop, interleaved, timed
from ml.audio import decoded
from ml.runtime.device import choose_device
from ml.speech.data.manifest import Clip, Manifest
from ml.speech.frontend.features import COLUMNS, features
from ml.speech.models.crnn import CrnnModel
from ml.speech.models.network_model import NetworkModel
from ml.speech.models.spectrogram_cnn import SpectrogramCnnModel
from ml.speech.models.tdnn import TdnnModel
from ml.speech.models.training import clip_logits, train_network
from tests.support import sound

SECONDS, CLIPS, ROUNDS = 60, 64, 3
BEST = TdnnModel
KINDS = (SpectrogramCnnModel, CrnnModel, TdnnModel)
"""Those of one network; the others are built of them."""


def measure(*, full: bool) -> list[Measurement]:
    """Use one thread throughout: the ratios are those of one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with place.folder() as folder:
            path = sound.encode(
                folder / "x.webm", sound.voiced(SECONDS, rate=48_000), "libopus", rate=48_000
            )
            return [_training(full=full), *_predicting(path)]
    finally:
        torch.set_num_threads(before)


def _training(*, full: bool) -> Measurement:
    config = BEST.default
    manifest = Manifest(tuple(_clip(number) for number in range(CLIPS)))
    generator = np.random.default_rng(0)
    clips = [generator.normal(size=(500, COLUMNS)).astype(np.float16) for _ in range(CLIPS)]
    device = choose_device()
    steps = config.epochs * (CLIPS // config.batch_size)

    def ours() -> object:
        return train_network(
            BEST.architecture,
            manifest,
            [clips],
            config,
            seed=0,
            device=device,
            step=lambda: None,
            cancelled=lambda: False,
        )

    network = BEST.architecture(COLUMNS).train()
    optimizer = torch.optim.AdamW(network.parameters())
    windows = torch.randn(config.batch_size, config.windows.frames, COLUMNS)
    labels = torch.arange(config.batch_size) % 2

    def bare() -> None:
        for _ in range(steps):
            with device.autocast():
                logits, _ = network(windows)
            loss = functional.cross_entropy(logits, labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return against_bare_loop(
        f"training a {BEST.spec.name} on cached features",
        "windows",
        ours,
        bare,
        items=steps * config.batch_size,
        rounds=2 * ROUNDS if full else ROUNDS,
    )


def _predicting(path: Path) -> list[Measurement]:
    sides = [partial(timed, lambda: list(decoded(path)))]
    sides += [partial(timed, partial(_predict, path, kind)) for kind in KINDS]
    decoding, *predicting = interleaved(sides, rounds=ROUNDS)
    return [
        Measurement(
            f"opus → decode → features → {kind.spec.name}",
            f"{SECONDS / seconds:,.0f} × realtime",
            f"decode alone, {SECONDS / decoding:,.0f} × realtime",
            decoding / seconds,
            at_least=0.3,
        )
        for kind, seconds in zip(KINDS, predicting, strict=True)
    ]


def _predict(path: Path, kind: type[NetworkModel]) -> object:
    config = kind.default
    network = kind.architecture(COLUMNS).eval()
    blocks = [features(block) for block in decoded(path)]
    return clip_logits(network, blocks, config.windows, choose_device())


def _clip(number: int) -> Clip:
    language = ("en", "zh")[number % 2]
    return Clip(str(number), "", language, str(number), language, str(number), "", 5.0)
