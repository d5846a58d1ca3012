"""Who is left out of which training: whole sources, with all their speakers and recordings."""

from dataclasses import dataclass

import numpy as np

from ml.speech.data.manifest import LANGUAGES, Manifest, assert_sources_disjoint
from services.errors import PermanentError

FEWEST = 2


@dataclass(frozen=True)
class Fold:
    """Clips to learn from, and clips of speakers and sources that are not among them."""

    training: Manifest
    held_out: Manifest


def split(manifest: Manifest, *, folds: int, seed: int) -> list[Fold]:
    """Leave every source out once; both languages are left out, and learned from, each time.

    Sources that share a speaker or a recording go together. There are fewer folds than asked for
    where a language has fewer such groups.

    Args:
        manifest: All clips.
        folds: How many trainings share the leaving out.
        seed: Deals the sources.

    Raises:
        PermanentError: A language has one group of sources only (``tooFewSources``).
        LearningError: A leak in spite of it (``leak…``).
    """
    group_of = _groups(manifest)
    spoken: dict[str, set[str]] = {}
    for clip, group in zip(manifest, group_of, strict=True):
        spoken.setdefault(group, set()).add(clip.language)
    enough = min(sum(language in found for found in spoken.values()) for language in LANGUAGES)
    count = min(folds, enough)
    if count < FEWEST:
        raise PermanentError(
            "all speech of one language comes from sources that share speakers or recordings: "
            "nothing can be held out to measure by",
            reason="tooFewSources",
            hint="`tubegrader audio add` channels of others, then"
            " `tubegrader channels crawl --audio`",
        )
    fold_of = _dealt(spoken, count, seed)
    found = []
    for fold in range(count):
        out = {group for group, number in fold_of.items() if number == fold}
        training = manifest.take([i for i, group in enumerate(group_of) if group not in out])
        held_out = manifest.take([i for i, group in enumerate(group_of) if group in out])
        if len({clip.language for clip in training}) < len(LANGUAGES):
            raise PermanentError(
                "without one group of sources, one language alone is left to learn from",
                reason="tooFewSources",
                hint="`tubegrader audio add` channels that speak one language",
            )
        assert_sources_disjoint(training, held_out)
        found.append(Fold(training, held_out))
    return found


def _dealt(spoken: dict[str, set[str]], count: int, seed: int) -> dict[str, int]:
    """Deal the groups of each language, and those of both, round the folds."""
    generator = np.random.default_rng(seed)
    fold_of: dict[str, int] = {}
    for languages in sorted({tuple(sorted(found)) for found in spoken.values()}):
        alike = sorted(
            group for group, found in spoken.items() if tuple(sorted(found)) == languages
        )
        for place, group in enumerate(generator.permutation(alike).tolist()):
            # Those of both languages from the other end, or few groups would all share a fold.
            fold_of[group] = place % count if len(languages) == 1 else count - 1 - place % count
    return fold_of


def _groups(manifest: Manifest) -> list[str]:
    """Name the group of each clip: whatever shares a source, a speaker or a recording."""
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(key: tuple[str, str]) -> tuple[str, str]:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for clip in manifest:
        first = root(("source", clip.source))
        for other in (("speaker", clip.speaker), ("recording", clip.recording)):
            parent[root(other)] = first
            first = root(first)
    named: dict[tuple[str, str], str] = {}
    for clip in manifest:
        key = root(("source", clip.source))
        named[key] = min(named.get(key, clip.source), clip.source)
    return [named[root(("source", clip.source))] for clip in manifest]
