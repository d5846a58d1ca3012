"""Training of thumbnail networks against a bare loop of the same network on ready tensors."""

import numpy as np
import torch
from torch.nn import functional

from benchmarks.measure import Measurement, against_bare_loop
from ml.images.decoding import HEIGHT, WIDTH
from ml.runtime.device import choose_device
from ml.thumbnails.backbones.cnn import CnnConfig, ThumbnailNet
from ml.thumbnails.data.rows import Targets
from ml.thumbnails.stacking.ensemble import train_member
from ml.thumbnails.stacking.members import MemberTraining, training_steps

ROUNDS = 3
EPOCHS = 2


def measure(*, full: bool) -> list[Measurement]:
    """Train on a GPU where there is one; on the CPU with one thread, as each network is."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_training(full=full)]
    finally:
        torch.set_num_threads(before)


def _training(*, full: bool) -> Measurement:
    device = choose_device()
    on_gpu = device.name != "cpu"
    config = CnnConfig(epochs=(20 if on_gpu else EPOCHS) * (3 if full else 1))
    count = 4_096 if on_gpu else 640
    generator = np.random.default_rng(0)
    images = generator.integers(256, size=(count, HEIGHT, WIDTH, 3), dtype=np.uint8)
    views = generator.normal(3, 1, size=count)
    targets, residual = Targets(views, views > 3), generator.normal(size=count)
    steps = training_steps(count, config)

    def ours() -> None:
        training = MemberTraining(
            (0, 1),
            np.arange(count),
            targets,
            residual,
            seed=0,
            device=device,
            step=lambda: None,
            cancelled=lambda: False,
        )
        train_member(images, config, training)

    network = ThumbnailNet(config).to(  # type: ignore[call-overload]
        device.torch_device, memory_format=torch.channels_last
    )
    optimizer = torch.optim.AdamW(network.train().parameters())
    shape = (config.batch_size, 3, HEIGHT - config.crop[0], WIDTH - config.crop[1])
    batch = torch.randn(shape, device=device.torch_device).to(memory_format=torch.channels_last)
    truth = torch.randn(config.batch_size, 3, device=device.torch_device)

    def bare() -> None:
        for _ in range(steps):
            with device.autocast():
                outputs = network(batch)
            loss = functional.huber_loss(outputs, truth)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        if on_gpu:
            torch.cuda.synchronize()

    return against_bare_loop(
        f"training a thumbnail network ({device.description})",
        "images",
        ours,
        bare,
        items=steps * config.batch_size,
        rounds=2 * ROUNDS if full else ROUNDS,
    )
