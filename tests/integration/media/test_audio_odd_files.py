"""Audio files of videos that are odd, and a decoder that gives up: no batch stays leased."""

from pathlib import Path

import pytest

from tests.support import odd_sound
from tests.support.audio_host import OTHER, VIDEO, Speech, speech, spoken
from tests.support.sound import voiced

__all__ = ["speech", "spoken"]


def test_stray_tags_are_collected_and_a_decoder_that_gives_up_fails_its_video(
    speech: Speech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tagged = odd_sound.with_stray_wav_tag(tmp_path / "x.wav", voiced(60))  # it is trimmed
    speech.host.serve(VIDEO, tagged.read_bytes(), "audio/wav")
    speech.select()
    assert speech.collect() == 2
    assert speech.work() == {VIDEO: ("idle", None), OTHER: ("idle", None)}

    def fails(**_: object) -> None:
        raise RuntimeError("unforeseen")

    speech.again()
    monkeypatch.setattr("ml.audio.decoding.AudioResampler", fails)
    assert speech.collect() == 0
    # Where all of a batch fails alike it may be us: each is in doubt and comes again later.
    assert set(speech.work().values()) == {("due", "decoderFailed")}
