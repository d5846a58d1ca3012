"""Any audio or video file as blocks of mono samples at one rate, in memory flat in its length."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Self

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from ml.audio.arrays import SampleArray
from ml.audio.errors import AudioError
from ml.audio.lengths import share_there
from ml.audio.source import LONGEST_S, AudioFacts, check_rate, facts_of, gave_up, opened

SAMPLE_RATE = 16_000
BLOCK_S = 10.0
SHORTEST_S = 0.1
"""Nobody says a word in less."""
TRUNCATED_BELOW = 0.9
"""Share of the length that the file states exactly."""
MOST_LOST = 0.5
"""Of a file's packets; a file of which more do not decode is not worth keeping."""
LEAST_MISSING_S = 0.5
"""Encoders begin with some silence that is left out, so times and samples never quite agree."""
MOST_MENDED = 0.01
"""Of a file's samples; one of which more are no numbers is not worth keeping."""
LOUDEST = 1e6
"""What exceeds full scale by more was no sound: its square would not even be a number."""


class Decoding(Iterator[SampleArray]):
    """The blocks of a file, and what became of it on the way.

    Attributes:
        facts: What the file says of itself.
        packets: How many packets were read so far.
        lost_packets: How many of them did not decode. The others are kept: audio that is damaged in
            the middle is that much shorter.
        mended_samples: How many samples were no finite numbers; they are silence now.
    """

    def __init__(
        self,
        path: Path,
        *,
        track: int | None,
        sample_rate: int,
        start_s: float,
        seconds: float | None,
        block_s: float,
        longest_s: float,
    ) -> None:
        self._path = path
        self._rate = sample_rate
        self._longest_s = longest_s
        self._container, self._stream = opened(path, track)
        try:
            self.facts: AudioFacts = facts_of(
                path, self._container, self._stream, longest_s=longest_s
            )
        except Exception as error:
            self._container.close()
            raise error if isinstance(error, AudioError) else gave_up(path, error) from error
        self.packets = 0
        self.lost_packets = 0
        self.mended_samples = 0
        self._samples = 0
        self._began_s: float | None = None
        self._reached_s = 0.0
        self._blocks = self._cut(
            first=round(start_s * sample_rate),
            wanted=None if seconds is None else round(seconds * sample_rate),
            block=max(1, round(block_s * sample_rate)),
        )

    @property
    def decoded_s(self) -> float:
        """Seconds decoded so far, skipped ones included."""
        return self._samples / self._rate

    @property
    def missing_s(self) -> float:
        """Seconds that were damaged or left out before the place that reading has come to."""
        return max(0.0, self._reached_s - self.decoded_s)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> SampleArray:
        return next(self._blocks)

    def close(self) -> None:
        """Stop early and let go of the file."""
        self._blocks.close()
        self._container.close()

    def _cut(self, *, first: int, wanted: int | None, block: int) -> Generator[SampleArray]:
        """Yield what lies in the requested span as blocks of equal size, the last one shorter."""
        end = None if wanted is None else first + wanted
        held: list[SampleArray] = []
        size = 0
        with self._container:
            for samples in self._finite():
                before = self._samples
                self._samples += len(samples)
                self._check_length()
                kept = samples[
                    max(0, first - before) : None if end is None else max(0, end - before)
                ]
                held.append(kept)
                size += len(kept)
                if size >= block:
                    joined = np.concatenate(held)
                    whole = size - size % block
                    yield from joined[:whole].reshape(-1, block)
                    held, size = [joined[whole:]], size - whole
                if end is not None and self._samples >= end:
                    break
            else:
                if size:
                    yield np.concatenate(held)
                self._check_whole()
                return
        if size:
            yield np.concatenate(held)

    def _finite(self) -> Iterator[SampleArray]:
        """Yield what is decoded; whatever a library may raise is said of this file alone."""
        try:
            for samples in self._resampled():
                broken = ~(np.abs(samples) <= LOUDEST)
                if broken.any():
                    self.mended_samples += int(broken.sum())
                yield np.where(broken, np.float32(0), samples) if broken.any() else samples
        except AudioError:
            raise
        except Exception as error:
            raise gave_up(self._path, error) from error

    def _resampled(self) -> Iterator[SampleArray]:
        resampler: AudioResampler | None = None
        shape: tuple[str, int, str] | None = None
        for frame in self._frames():
            found = (frame.format.name, frame.sample_rate, frame.layout.name)
            if found != shape:
                # A stream may change its rate or channels half way.
                check_rate(self._path, frame.sample_rate)
                yield from _drained(resampler)
                resampler, shape = self._resampler(), found
            assert resampler is not None
            frame.pts = None
            for resampled in resampler.resample(frame):
                yield resampled.to_ndarray()[0]
        yield from _drained(resampler)

    def _resampler(self) -> AudioResampler:
        # Without the bound channels are added up: eight of them would overdrive the sum.
        return AudioResampler(
            format="fltp", layout="mono", rate=self._rate, options={"rematrix_maxval": "1.0"}
        )

    def _frames(self) -> Iterator[AudioFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError:
                # The container is damaged from here on; the check of the whole measures the loss.
                self.lost_packets += 1
                self.packets += 1
                return
            self.packets += packet.size > 0
            if packet.pts is not None:
                # Times may begin anywhere.
                if self._began_s is None:
                    self._began_s = float(packet.pts * packet.time_base)
                ended_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                self._reached_s = ended_s - self._began_s
            try:
                yield from self._stream.decode(packet)
            except av.FFmpegError:
                self.lost_packets += packet.size > 0

    def _check_length(self) -> None:
        if self.decoded_s > self._longest_s:
            raise AudioError(
                self._path,
                f"more than the limit of {self._longest_s:.0f} s, though it does not say so",
                reason="tooLong",
            )

    def _check_whole(self) -> None:
        if self._samples == 0:
            if self.lost_packets:
                raise AudioError(
                    self._path,
                    f"looks like {self.facts.codec}, but nothing of it decodes",
                    reason="notAudio",
                )
            raise AudioError(self._path, "its audio lasts 0 seconds", reason="zeroSeconds")
        missing_s = self.missing_s if self.missing_s > LEAST_MISSING_S else 0.0
        lost = max(self.lost_packets / self.packets, missing_s / (self.decoded_s + missing_s))
        if lost > MOST_LOST:
            raise AudioError(
                self._path,
                f"{self.lost_packets} of {self.packets} packets do not decode, "
                f"{self.missing_s:.1f} s are missing",
                reason="corrupt",
            )
        if self.mended_samples > MOST_MENDED * self._samples:
            raise AudioError(
                self._path,
                f"{self.mended_samples} of {self._samples} samples are no numbers",
                reason="corrupt",
            )
        self._check_end()
        if self.decoded_s < SHORTEST_S:
            raise AudioError(
                self._path,
                f"its audio lasts {self.decoded_s * 1_000:.0f} ms: too short to hear speech in",
                reason="tooShort",
            )

    def _check_end(self) -> None:
        """Refuse what ends long before the length that the file states exactly."""
        stated_s = self.facts.stated_s
        # What is missing in the middle was not cut off at the end.
        reached_s = max(self.decoded_s, self._reached_s)
        if stated_s is not None and reached_s < TRUNCATED_BELOW * stated_s:
            there = f"{self.decoded_s:.1f} s of the {stated_s:.1f} s that it should have"
        elif (share := share_there(self._path)) < TRUNCATED_BELOW:
            there = f"{self.decoded_s:.1f} s, {share:.0%} of the bytes that it should have"
        else:
            return
        raise AudioError(self._path, there, reason="truncated")


def decoded(
    path: Path,
    *,
    track: int | None = None,
    sample_rate: int = SAMPLE_RATE,
    start_s: float = 0.0,
    seconds: float | None = None,
    block_s: float = BLOCK_S,
    longest_s: float = LONGEST_S,
) -> Decoding:
    """Decode an audio track of any audio or video file.

    Channels are mixed down and the rate is changed by libswresample. A later start decodes what
    lies before it and throws it away: seeking is inexact in most formats, and decoding is
    hundreds of times faster than the audio.

    Args:
        path: The file. Formats that refer to other files or addresses are refused.
        track: Which of several, from 0; the default one if left out.
        sample_rate: Samples a second that come out.
        start_s: Seconds to leave out at the beginning.
        seconds: At most so many seconds from there; None: to the end. Only who reads to the end
            learns that a file is truncated or corrupt.
        block_s: Length of the blocks in seconds.
        longest_s: A file that says or turns out to be longer is refused.

    Returns:
        An iterator over float32 arrays of shape (block_s × sample_rate,), the last one shorter,
        full scale ±1 (lossy codecs may exceed it a little).

    Raises:
        AudioError: At once as :func:`ml.audio.probe`; after the last block ``truncated``,
            ``corrupt``, ``tooShort``, ``zeroSeconds``, ``notAudio``; on the way ``tooLong`` and
            ``decoderFailed``.
    """
    return Decoding(
        path,
        track=track,
        sample_rate=sample_rate,
        start_s=start_s,
        seconds=seconds,
        block_s=block_s,
        longest_s=longest_s,
    )


def _drained(resampler: AudioResampler | None) -> Iterator[SampleArray]:
    if resampler is not None:
        for resampled in resampler.resample(None):
            yield resampled.to_ndarray()[0]
