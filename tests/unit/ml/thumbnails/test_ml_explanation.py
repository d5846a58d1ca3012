"""Heat maps: they show planted reasons, and a map without reasons fails its check."""

import numpy as np
import pytest
import torch
from torch import nn

from ml.errors import LearningError
from ml.thumbnails.evaluation.explanation import grad_cam, occlusion_map, passes_randomisation
from tests.support.pictures import blotchy


def test_occlusion_points_at_what_the_answer_hangs_on():
    image = np.full((90, 160, 3), 60, dtype=np.uint8)
    image[20:40, 100:130] = 250

    def brightest(images):
        return images.max(axis=3).reshape(len(images), -1).mean(axis=1)

    found = occlusion_map(image, brightest)
    assert found.shape == (9, 16)
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert 2 <= row <= 4
    assert 10 <= column <= 13
    assert abs(found[8, 0]) < 0.01 * found.max()


def test_occlusion_of_an_answer_that_never_changes_is_zero():
    assert not occlusion_map(blotchy(1), lambda images: np.full(len(images), 3.0)).any()


@pytest.mark.parametrize(("grid", "patch"), [((200, 16), 3), ((9, 16), 10), ((9, 16), 0)])
def test_a_grid_that_does_not_fit_is_refused(grid, patch):
    with pytest.raises(LearningError, match="does not fit"):
        occlusion_map(blotchy(1), lambda images: np.zeros(len(images)), grid=grid, patch=patch)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=4, padding=2),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(),
        )
        self.head = nn.Linear(8, 2)

    def forward(self, images):
        return self.head(self.body(images).mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def trained():
    """A network that learned to count red: squares of red raise its answer, of blue do not."""
    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = Net()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(150):
        images, redness = squares(generator, 32)
        loss = (network(images)[:, 0] - redness).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1
    return network.eval()


def squares(generator, count):
    """A red square on half of the pictures, a blue one on all, both at random places."""
    images = torch.rand(count, 3, 40, 64, generator=generator) * 0.2
    red = torch.rand(count, generator=generator) < 0.5
    for row in range(count):
        for channel, shown in ((0, red[row]), (2, True)):
            if shown:
                top = int(torch.randint(0, 28, (1,), generator=generator))
                left = int(torch.randint(0, 52, (1,), generator=generator))
                images[row, channel, top : top + 12, left : left + 12] = 1
    return images, red.float()


def test_grad_cam_finds_the_red_square(trained):
    images = torch.zeros(1, 3, 40, 64)
    images[0, 0, 4:16, 40:52] = 1
    images[0, 2, 20:32, 8:20] = 1
    found = grad_cam(images, trained, trained.body, 0)[0]
    assert found.shape == (10, 16)
    assert found[1:4, 10:13].mean() > 3 * found[5:8, 2:5].mean()
    assert found.max() == 1
    assert found.min() >= 0


def test_grad_cam_works_on_frozen_weights_and_leaves_no_hook(trained):
    frozen = Net().eval()
    frozen.load_state_dict(trained.state_dict())
    frozen.requires_grad_(requires_grad=False)
    images = torch.rand(2, 3, 40, 64, generator=torch.Generator().manual_seed(2))
    first = grad_cam(images, frozen, frozen.body, 0)
    np.testing.assert_allclose(first, grad_cam(images, trained, trained.body, 0), rtol=1e-4)
    assert not frozen.body._forward_hooks


def test_a_layer_that_takes_no_part_is_refused(trained):
    with pytest.raises(LearningError, match="took no part"):
        grad_cam(torch.zeros(1, 3, 40, 64), trained, nn.Conv2d(3, 3, 1), 0)


def test_maps_of_a_trained_network_pass_the_randomisation_check(trained):
    images, _ = squares(torch.Generator().manual_seed(9), 6)
    before = [parameter.clone() for parameter in trained.parameters()]
    check = passes_randomisation(
        trained, lambda model: grad_cam(images, model, model.body, 0), seed=0
    )
    assert check.passed
    assert all(torch.equal(a, b) for a, b in zip(before, trained.parameters(), strict=True))
    again = passes_randomisation(
        trained, lambda model: grad_cam(images, model, model.body, 0), seed=0
    )
    assert again == check


def test_maps_that_only_show_the_picture_fail_it(trained):
    images, _ = squares(torch.Generator().manual_seed(9), 6)
    check = passes_randomisation(trained, lambda _: images.sum(dim=1).double().numpy(), seed=0)
    assert not check.passed
    assert check.similarity == pytest.approx(1)


def test_flat_maps_fail_it(trained):
    check = passes_randomisation(trained, lambda _: np.zeros((2, 4, 4)), seed=0)
    assert not check.passed


def test_only_the_layers_asked_for_are_made_random(trained):
    seen = []

    def explain(model):
        seen.append(model)
        return np.zeros((1, 2, 2))

    passes_randomisation(trained, explain, seed=0, draws=1, layers=["head"])
    random = seen[1]
    assert torch.equal(random.body[0].weight, trained.body[0].weight)
    assert not torch.equal(random.head.weight, trained.head.weight)
