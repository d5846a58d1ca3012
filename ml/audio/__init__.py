"""Sound from files: decoding, speech activity, and the segments that are kept."""

from ml.audio.activity import (
    FRAME_S,
    ActivityDetector,
    ActivityPolicy,
    Region,
    speech_probabilities,
    speech_regions,
)
from ml.audio.arrays import PcmArray, ProbabilityArray, SampleArray
from ml.audio.cutting import CUT_VERSION, Cut, Cutting, Segment, cut
from ml.audio.decoding import SAMPLE_RATE, Decoding, decoded
from ml.audio.errors import AudioError
from ml.audio.examining import Activity, CutPolicy, examine
from ml.audio.samples import flac, floats, is_silent, level_dbfs, pcm, read_flac, sliced
from ml.audio.source import LONGEST_S, AudioFacts, probe

__all__ = [
    "CUT_VERSION",
    "FRAME_S",
    "LONGEST_S",
    "SAMPLE_RATE",
    "Activity",
    "ActivityDetector",
    "ActivityPolicy",
    "AudioError",
    "AudioFacts",
    "Cut",
    "CutPolicy",
    "Cutting",
    "Decoding",
    "PcmArray",
    "ProbabilityArray",
    "Region",
    "SampleArray",
    "Segment",
    "cut",
    "decoded",
    "examine",
    "flac",
    "floats",
    "is_silent",
    "level_dbfs",
    "pcm",
    "probe",
    "read_flac",
    "sliced",
    "speech_probabilities",
    "speech_regions",
]
