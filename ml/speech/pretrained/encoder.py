"""A speech encoder from a wheel: Smart Turn v3, which is Whisper-tiny's encoder trained on.

The wheel ``pipecat-ai`` (BSD-2-Clause; Whisper's own weights are MIT) carries it as an 8-bit ONNX
file of 8.7 MB, made to tell whether a speaker has finished. We leave its own answer alone and read
what its third of four blocks passes on: the upper half of such encoders holds what was said rather
than how it sounded (Pasad, Chou & Livescu 2021). Only that file is used; nothing of the package
is imported, so ``pip install --no-deps pipecat-ai`` is enough.
"""

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ml.errors import LearningError
from ml.runtime.files import file_sha256
from ml.runtime.onnx import one_thread_session
from ml.speech.augmentation.codecs import SAMPLE_RATE, Waveform
from ml.speech.pretrained.activity import speech_share
from ml.speech.pretrained.logmel import whisper_log_mel

if TYPE_CHECKING:
    import onnxruntime

WINDOW_S = 8
WIDTH = 384
BLOCK = 3
"""Whose output is read, counted from 1."""
COLUMNS = 2 + 2 * WIDTH
"""Of an encoding: seconds, probability of speech, means, deviations."""
SECONDS, SPEECH = 0, 1
STATISTICS = slice(2, None)

_IN_THE_WHEEL = "audio/turn/smart_turn/data/smart-turn-v3*-cpu.onnx"
_NEXT_BLOCK = f"encoder.layers.{BLOCK}.self_attn_layer_norm.weight"


class SpeechEncoder:
    """Turns speech into statistics of what the encoder makes of it.

    Args:
        weights: The ONNX file; the one of the wheel ``pipecat-ai`` if left out.

    Raises:
        LearningError: No weights (``encoderMissing``), no package ``onnx``, or a file of another
            make (``encoderUnsupported``).
    """

    def __init__(self, weights: Path | None = None) -> None:
        self.weights = weights or weights_in_the_wheel()
        self._session, self._tapped = _session(self.weights)

    @cached_property
    def sha256(self) -> str:
        """Names the weights: a head fits these only."""
        return file_sha256(self.weights)

    def encode(self, waveform: Waveform) -> Waveform:
        """Encode a clip.

        It is cut into even windows of at most 8 s. Each is repeated until it fills the encoder's
        8 s, so that no silence is added that the statistics would have to forget.

        Args:
            waveform: Mono, 16 kHz, any length.

        Returns:
            Shape (windows, COLUMNS), float32.
        """
        count = max(1, -(-len(waveform) // (WINDOW_S * SAMPLE_RATE)))
        return np.stack([self._encoded(part) for part in np.array_split(waveform, count)])

    def _encoded(self, part: Waveform) -> Waveform:
        filled = np.resize(part.astype(np.float32), WINDOW_S * SAMPLE_RATE)
        scaled = (filled - filled.mean()) / np.sqrt(filled.var() + 1e-7)
        inputs = {"input_features": whisper_log_mel(scaled, seconds=WINDOW_S)[None]}
        hidden = self._session.run([self._tapped], inputs)[0][0]
        facts = np.array([len(part) / SAMPLE_RATE, speech_share(part)])
        encoded = np.concatenate([facts, hidden.mean(axis=0), hidden.std(axis=0)])
        return encoded.astype(np.float32)


def check_installed() -> None:
    """See that the encoder can be used, without opening it.

    Raises:
        LearningError: The weights or the package ``onnx`` are not installed (``encoderMissing``).
    """
    weights_in_the_wheel()
    if find_spec("onnx") is None:
        raise _no_onnx()


def weights_in_the_wheel() -> Path:
    """Find the encoder's file in an installed ``pipecat-ai``.

    Raises:
        LearningError: Not installed, or without it (``encoderMissing``).
    """
    # Finding a package does not run it.
    package = find_spec("pipecat")
    places = list((package and package.submodule_search_locations) or [])
    found = sorted(path for place in places for path in Path(place).glob(_IN_THE_WHEEL))
    if not found:
        raise LearningError(
            "the pretrained speech encoder is not installed: pip install"
            " 'tubegrader[speech,speech-pretrained]' && pip install --no-deps pipecat-ai",
            reason="encoderMissing",
        )
    return found[-1]


def _session(weights: Path) -> tuple["onnxruntime.InferenceSession", str]:
    """Open the encoder up to the block that is read; the rest is never run."""
    try:
        import onnx  # noqa: PLC0415 - only this optional model needs it
    except ImportError as error:
        raise _no_onnx() from error
    try:
        model = onnx.load(weights)
    except Exception as error:
        raise _unsupported(weights) from error
    tapped = [
        node.input[0]
        for node in model.graph.node
        if node.op_type == "LayerNormalization" and node.input[1].endswith(_NEXT_BLOCK)
    ]
    if len(tapped) != 1:
        raise _unsupported(weights)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(tapped[0]))
    return one_thread_session(model.SerializeToString()), tapped[0]


def _no_onnx() -> LearningError:
    return LearningError(
        "the pretrained model needs the package onnx: pip install 'tubegrader[speech-pretrained]'",
        reason="encoderMissing",
    )


def _unsupported(weights: Path) -> LearningError:
    return LearningError(
        f"{weights} is no Smart Turn v3 encoder that we can read; the model was built on"
        " smart-turn-v3.2-cpu.onnx",
        reason="encoderUnsupported",
    )
