"""Which sources are left out together: one English and one Chinese."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.arrays import IntArray
from ml.speech.data.manifest import MIN_CLIPS, Manifest, assert_sources_disjoint

MIN_INNER_SOURCES = 2


@dataclass(frozen=True, order=True)
class Pair:
    """An English and a Chinese source, both held out of training."""

    en: str
    zh: str

    @property
    def name(self) -> str:
        """Such as ``fsdd+gcin-voice``."""
        return f"{self.en}+{self.zh}"


def sources_of(manifest: Manifest, language: str, *, bilingual: Sequence[str] = ()) -> list[str]:
    """Return the sources of a language by name, but for those named as bilingual."""
    found = {clip.source for clip in manifest if clip.language == language}
    return sorted(found - set(bilingual))


def speaker_bilingual(manifest: Manifest) -> list[str]:
    """Return the sources whose speakers speak both languages: these are held out by speaker."""
    spoken: dict[tuple[str, str], set[str]] = {}
    for clip in manifest:
        spoken.setdefault((clip.source, clip.speaker), set()).add(clip.language)
    return sorted({source for (source, _), both in spoken.items() if len(both) > 1})


def all_pairs(manifest: Manifest) -> list[Pair]:
    """Return every pair of an English and a Chinese source."""
    both = speaker_bilingual(manifest)
    return [
        Pair(en, zh)
        for en in sources_of(manifest, "en", bilingual=both)
        for zh in sources_of(manifest, "zh", bilingual=both)
    ]


def covering_pairs(manifest: Manifest, *, turn: int = 0) -> list[Pair]:
    """Return as few pairs as name every source once; ``turn`` 0, 1, … give disjoint choices."""
    both = speaker_bilingual(manifest)
    english = sources_of(manifest, "en", bilingual=both)
    chinese = sources_of(manifest, "zh", bilingual=both)
    count = max(len(english), len(chinese))
    if not english or not chinese:
        return []
    return [
        Pair(
            english[(place + turn * (len(english) <= len(chinese))) % len(english)],
            chinese[(place + turn * (len(english) > len(chinese))) % len(chinese)],
        )
        for place in range(count)
    ]


def pair_split(manifest: Manifest, pair: Pair) -> tuple[Manifest, Manifest]:
    """Split into training and test part, source- and speaker-disjoint.

    The test part is the English of the one source and the Chinese of the other. The other language
    of a bilingual source is in neither part: seen in training, it would teach that the channel
    speaks the other language.

    Raises:
        LearningError: A leak in spite of it (``leak…``).
    """
    test = manifest.where(
        lambda clip: (clip.language, clip.source) in {("en", pair.en), ("zh", pair.zh)}
    )
    held_out = {clip.speaker for clip in test}
    training = manifest.where(
        lambda clip: clip.source not in {pair.en, pair.zh} and clip.speaker not in held_out
    )
    assert_sources_disjoint(training, test)
    return training, test


def inner_split(manifest: Manifest, *, seed: int) -> tuple[IntArray, IntArray] | None:
    """Choose rows to learn from and rows of held-out sources, both inside a training part.

    Returns:
        Row numbers, or None where too few sources or clips would be left to learn from.
    """
    pairs = all_pairs(manifest)
    if min((len({pair.en for pair in pairs}), len({pair.zh for pair in pairs}))) < (
        MIN_INNER_SOURCES
    ):
        return None
    pair = pairs[int(np.random.default_rng([seed, 5]).integers(len(pairs)))]
    training, test = pair_split(manifest, pair)
    if len(training) < MIN_CLIPS:
        return None
    place = {clip.clip_id: row for row, clip in enumerate(manifest)}
    rows = np.array([place[clip.clip_id] for clip in training], dtype=np.int64)
    held_out = np.array([place[clip.clip_id] for clip in test], dtype=np.int64)
    return rows, held_out
