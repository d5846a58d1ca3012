"""``tubegrader audio classify``: the language of each file, and a reason for each that failed."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from services.errors import UsageError
from services.learning.speech.classifier import from_folder, from_weights
from services.learning.speech.detection import ClassifiedFile, UnreadableFile, detect_language
from tests.support import odd_sound, sound
from tests.support.cli import tubegrader
from tests.support.language import spoken_in, trained_model
from tests.support.memory import peak_megabytes


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return trained_model(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    model.save(folder)
    return folder


def test_each_language_is_told_and_a_file_of_both_has_both_on_its_timeline(model, tmp_path):
    for language in ("en", "zh"):
        path = sound.write_wav(tmp_path / f"{language}.wav", spoken_in(language, 1, 5.0))
        found = detect_language(path, model)
        assert isinstance(found, ClassifiedFile)
        assert found.prediction.language == language
        assert found.prediction.probability > 0.6
    both = np.concatenate([spoken_in("en", 2, 6.0), sound.silence(2), spoken_in("zh", 2, 6.0)])
    found = detect_language(sound.write_wav(tmp_path / "both.wav", both), model)
    predicted = [(s.prediction.language, round(s.start_s), round(s.end_s)) for s in found.segments]
    assert predicted[0] == ("en", 0, 6)
    assert predicted[-1] == ("zh", 8, 14)
    assert found.seconds == pytest.approx(14, abs=0.01)
    assert 0.7 < found.speech_share < 0.9


@pytest.mark.parametrize("seconds", [1.0, 1.5, 2.0, 3.0])
def test_a_short_clip_is_classified(model, tmp_path, seconds):
    path = sound.write_wav(tmp_path / "short.wav", spoken_in("zh", 3, seconds))
    found = detect_language(path, model)
    assert len(found.segments) == 1
    assert found.prediction.language == "zh"


def test_probabilities_add_up_and_segments_lie_in_order_within_the_file(model, tmp_path):
    parts = [np.r_[spoken_in("zh", n, 1.0 + n % 3), sound.silence(1 + n % 2)] for n in range(6)]
    path = tmp_path / "many.ogg"
    sound.encode(path, np.concatenate(parts), "libopus")
    progress = []
    found = detect_language(path, model, progress=lambda at, end: progress.append((at, end)))
    for prediction in (found.prediction, *(segment.prediction for segment in found.segments)):
        assert prediction.p_en + prediction.p_zh + prediction.p_unknown == pytest.approx(1)
    edges = [edge for s in found.segments for edge in (s.start_s, s.end_s)]
    assert edges == sorted(edges)
    assert 0 <= edges[0] < edges[-1] <= found.seconds + 0.032
    assert progress[0] == (0.0, found.seconds)
    assert progress[-1] == (edges[-1], found.seconds)


@pytest.mark.parametrize("kind", ["silence", "noise", "chords"])
def test_where_nobody_speaks_the_language_is_unknown(model, tmp_path, kind):
    found = detect_language(sound.write_wav(tmp_path / "quiet.wav", getattr(sound, kind)(4)), model)
    assert found.prediction.language == "unknown"
    assert found.prediction.probability is None


def test_what_is_no_file_is_not_waited_for(model, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        found = detect_language(path, model)
        assert isinstance(found, UnreadableFile)
        assert found.reason == "notReadable"


def test_bad_files_are_named_with_their_reasons_and_the_others_go_on(saved, tmp_path):
    good = sound.write_wav(tmp_path / "good.wav", spoken_in("en", 4))
    whole = sound.write_wav(tmp_path / "whole.wav", spoken_in("en", 5, 8.0)).read_bytes()
    bad = {
        "empty": b"",
        "notAudio": b"\x93\x12garbage" * 400,
        "truncated": whole[: len(whole) // 3],
        "zeroSeconds": sound.write_wav(tmp_path / "none.wav", np.zeros(0)).read_bytes(),
    }
    names = {}
    for reason, content in bad.items():
        names[reason] = tmp_path / f"a \x1b[31m {reason}.wav"
        names[reason].write_bytes(content)
    names["notFound"] = tmp_path / "nowhere.mp3"
    ran = tubegrader(
        "language", "--model", str(saved), "--json", *map(str, names.values()), str(good)
    )
    assert ran.code == 1, ran.err
    found = json.loads(ran.out)
    assert found["failed"] == len(names)
    assert found["model"] == {"rung": "spectrogram_cnn", "version": None}
    assert [f["error"]["reason"] for f in found["files"][:-1]] == list(names)
    assert found["files"][-1]["language"] == "en"
    assert found["files"][-1]["segments"]
    assert "\x1b" not in ran.out


def test_what_is_amiss_and_mended_is_said_and_what_is_not_neither(saved, tmp_path):
    speech = spoken_in("zh", 5, 5.0)
    paths = [
        odd_sound.with_stray_wav_tag(tmp_path / "tag.wav", speech),
        odd_sound.with_stray_mp3_tag(tmp_path / "tag.mp3", speech),
        odd_sound.with_cover_at_the_end(tmp_path / "cover.mp3", speech),
        odd_sound.with_holes(tmp_path / "hole.wav", speech, holes=1),
    ]
    ran = tubegrader("language", "--model", str(saved), "--json", *map(str, paths))
    assert ran.code == 0, ran.err
    files = json.loads(ran.out)["files"]
    assert [f["language"] for f in files] == ["zh"] * 4
    assert [f["notes"] for f in files] == [
        [], [], [], ["1 sample of it is no number and taken as silence"]
    ]  # fmt: skip
    ran = tubegrader("language", "--model", str(saved), str(paths[-1]))
    assert "hole.wav: 1 sample of it is no number" in ran.out


@pytest.mark.parametrize(
    ("order", "default", "taken"),
    [
        ("music speech", 0, "audio track 2 of 2 is taken: there is more speech"),
        ("speech music", 1, "audio track 1 of 2 is taken: there is more speech"),
        ("other speech", 1, "audio track 2 of 2 is taken, the default one"),
        ("music music", 1, "nobody speaks in any"),
    ],
)
def test_of_several_tracks_the_one_with_speech_is_taken_and_named(
    model, tmp_path, order, default, taken
):
    kinds = {
        "music": sound.chords(5),
        "speech": spoken_in("zh", 5, 5.0),
        "other": spoken_in("en", 5, 5.0),
    }
    path = odd_sound.with_tracks(
        tmp_path / "x.mkv", [kinds[kind] for kind in order.split()], default=default
    )
    found = detect_language(path, model)
    assert found.prediction.language == ("zh" if "speech" in order else "unknown")
    assert taken in found.notes[0]


def test_a_track_that_does_not_decode_gives_way_to_one_that_does(model, tmp_path, monkeypatch):
    path = odd_sound.with_tracks(tmp_path / "x.mkv", [sound.silence(0), spoken_in("zh", 5, 5.0)])
    found = detect_language(path, model)
    assert found.prediction.language == "zh"
    assert "track 2 of 2" in found.notes[0]


def test_a_decoder_that_fails_unforeseen_fails_its_file_alone(model, tmp_path, monkeypatch):
    path = sound.write_wav(tmp_path / "x.wav", spoken_in("zh", 5))

    def fails(**_):
        raise RuntimeError("unforeseen")

    with monkeypatch.context() as patched:
        patched.setattr("ml.audio.decoding.AudioResampler", fails)
        found = detect_language(path, model)
    assert (found.reason, found.problem) == ("decoderFailed", "the decoder gave up (RuntimeError)")
    assert isinstance(detect_language(path, model), ClassifiedFile)


ODD_NAMES = [b"two\nlines.wav", b"stray-\xff\xfe.wav", b"-dash.wav", b"--dashes=1.wav",
             b" blanks .wav ", "\x9bÿ\u202e名\U0001f3b5.wav".encode(), b"cr\r.wav"]  # fmt: skip


@pytest.mark.parametrize("way", ["typed after --", "list"])
def test_in_json_every_name_is_exact(saved, tmp_path, monkeypatch, way):
    for name in ODD_NAMES:
        sound.write_wav(tmp_path / os.fsdecode(name), sound.silence(1))
    names = {"list": [b"-"], "typed after --": [b"--", *ODD_NAMES]}[way]
    monkeypatch.chdir(tmp_path)
    ran = tubegrader(
        "language", "--model", str(saved), "--json", *map(os.fsdecode, names),
        stdin=os.fsdecode(b"\0".join(ODD_NAMES)),
    )  # fmt: skip
    assert ran.code == 0, ran.err
    found = [os.fsencode(f["file"]) for f in json.loads(ran.out)["files"]]
    assert found == ODD_NAMES
    assert all(c.isprintable() or c == "\n" for c in ran.out)


def test_in_json_names_are_exact_from_the_shell_too(saved, tmp_path):
    for name in ODD_NAMES:
        sound.write_wav(tmp_path / os.fsdecode(name), sound.silence(1))
    ran = subprocess.run(
        [sys.executable, "-m", "services.cli.main", "language", "--model", saved, "--json",
         *ODD_NAMES],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        timeout=240,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert [os.fsencode(f["file"]) for f in json.loads(ran.stdout)["files"]] == ODD_NAMES


def test_a_list_of_lines_keeps_each_name_and_may_come_from_windows(saved, tmp_path):
    paths = [str(tmp_path / name) for name in ("one.wav", "two\r.wav")]
    for lines in ("\n".join(paths), "\r\n".join(paths) + "\r\n"):
        ran = tubegrader("language", "--model", str(saved), "--json", "-", stdin=lines)
        assert [f["file"] for f in json.loads(ran.out)["files"]] == paths


def test_an_option_that_there_is_not_is_no_file_and_the_way_out_is_said(saved):
    ran = tubegrader("language", "--model", str(saved), "x.wav", "--segmets")
    assert ran.code == 2
    assert ran.complaint[0] == "error: there is no option --segmets, and no file of that name"
    assert "after --" in ran.complaint[1]
    ran = tubegrader("language", "--model", str(saved), "--json", "--", "-gone.wav")
    assert json.loads(ran.out)["files"][0]["error"]["reason"] == "notFound"


def test_a_list_on_stdin_makes_a_table_with_a_timeline(saved, tmp_path):
    paths = [
        sound.write_wav(tmp_path / f"{language}.wav", spoken_in(language, 6, 4.0))
        for language in ("en", "zh")
    ]
    ran = tubegrader(
        "language", "--model", str(saved), "--segments", "-",
        stdin="\0".join(map(str, paths)),
    )  # fmt: skip
    assert ran.code == 0, ran.err
    lines = {line.split()[0]: line for line in reversed(ran.out.splitlines()) if line.strip()}
    assert " en " in lines[str(paths[0])]
    assert "█" * 10 in lines[str(paths[0])]
    assert "▒" * 10 in lines[str(paths[1])]
    assert "from–to" in ran.out
    assert "\x1b" not in ran.out


def test_a_folder_without_a_model_or_with_another_kind_is_refused(saved, tmp_path):
    with pytest.raises(UsageError, match="no saved model") as caught:
        from_folder(tmp_path)
    assert "train speech" in caught.value.hint
    with pytest.raises(UsageError, match="not a tdnn"):
        from_folder(saved, kind="tdnn")
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(UsageError):
        from_folder(tmp_path)


def test_a_model_is_found_one_or_two_folders_below_the_one_that_is_named(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "models" / "crnn")
    assert from_folder(tmp_path).name == from_folder(tmp_path / "models").name
    shutil.copytree(saved, tmp_path / "models" / "other")
    with pytest.raises(UsageError, match="2 models below") as caught:
        from_folder(tmp_path)
    assert f"--model {tmp_path / 'models' / 'crnn'}" in caught.value.hint


def test_a_whisper_needs_its_package_and_a_folder_and_no_other_model(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(UsageError, match="speech-whisper") as caught:
        from_weights(tmp_path)
    assert caught.value.reason == "whisperMissing"
    with pytest.raises(UsageError) as caught:
        from_weights(None)
    assert "TUBEGRADER_SPEECH_WEIGHTS" in caught.value.hint
    ran = tubegrader("language", "x.wav", "--weights", str(tmp_path), "--model", "3")
    assert ran.code == 2
    assert "goes with no other model" in ran.err


def test_help_imports_nothing_heavy():
    code = (
        "import sys, services.cli.main\n"
        "heavy = {'torch', 'numpy', 'av', 'onnxruntime', 'sqlalchemy', 'rich.table'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


TELLING = """
from services.learning.speech.detection import detect_language
from services.learning.speech.classifier import from_folder, from_weights
found = detect_language(Path(sys.argv[2]), from_folder(Path(sys.argv[1])).classifier)
assert len(found.segments) > found.seconds / 60
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_files_length(saved, tmp_path):
    minute = np.concatenate([spoken_in("zh", 7, 50.0), sound.silence(10)])
    peaks = []
    for minutes in (3, 30):
        path = sound.encode(tmp_path / f"{minutes}.flac", np.tile(minute, minutes), "flac")
        peaks.append(peak_megabytes(TELLING, saved, path))
    assert peaks[1] < 1.1 * peaks[0], peaks
