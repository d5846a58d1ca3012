"""What the figures say on predictions whose quality is known."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import LearningCancelledError, LearningError
from ml.speech.evaluation.diagnostics import source_probe
from ml.speech.evaluation.differences import accuracy_differences, error_rate_interval
from ml.speech.evaluation.evaluate import (
    Scored,
    calibration_error,
    equal_error_rate,
    evaluate_scored,
    spread,
)
from ml.speech.evaluation.protocol import (
    finished_results,
    read_results,
    run_splits,
    scored,
    source_splits,
)
from ml.speech.models.calibration import fit_temperature, probabilities
from ml.speech.models.spectrogram_cnn import SpectrogramCnnModel
from tests.support.speech import TINY, write_clips


def drawn(*, skill=1.5, bad_source=None, seed=0, rows=400):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, rows)
    sources = [
        f"{'zh' if label else 'en'}{n}"
        for label, n in zip(labels, generator.integers(0, 3, rows), strict=True)
    ]
    logits = generator.normal(0, 1, rows) + skill * (2 * labels - 1)
    logits = np.where(np.array(sources) == bad_source, -logits, logits)
    return Scored(
        clip_ids=[str(n) for n in range(rows)],
        labels=labels,
        p_zh=1 / (1 + np.exp(-logits)),
        speakers=[
            f"{source}-{n}"
            for source, n in zip(sources, generator.integers(0, 9, rows), strict=True)
        ],
        sources=sources,
        codecs=generator.choice(["mp3", "opus"], rows).tolist(),
        seconds=generator.uniform(2, 9, rows),
        snr=np.where(generator.random(rows) < 0.2, np.nan, generator.uniform(0, 50, rows)),
    )


def test_the_worst_source_is_the_headline():
    found = evaluate_scored(drawn(bad_source="en1"), resamples=200)
    assert found.worst_source.name == "en1 (en)"
    assert found.worst_source.accuracy < 0.2
    # Sources weigh the same: one of six told wrong costs about a sixth.
    assert found.balanced_accuracy.value == pytest.approx(0.93 - 0.86 / 6, abs=0.05)


def test_the_interval_by_speaker_holds_the_value_and_slices_cover_all_rows():
    rows = drawn()
    found = evaluate_scored(rows, resamples=200)
    assert found.balanced_accuracy.low < found.balanced_accuracy.value
    assert found.balanced_accuracy.value < found.balanced_accuracy.high
    for slices in (found.by_source, found.by_length, found.by_codec):
        assert sum(part.n for part in slices) == len(rows)
    assert sum(part.n for part in found.by_snr) == np.isfinite(rows.snr).sum()
    assert np.sum(found.confusion) == len(rows)
    content = found.as_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == content


def test_every_slice_says_how_sure_its_figure_is():
    rows = drawn(bad_source="zh2")
    alone = replace(
        rows,
        speakers=[
            "one" if source == "en0" else speaker
            for source, speaker in zip(rows.sources, rows.speakers, strict=True)
        ],
    )
    found = evaluate_scored(alone, resamples=200)
    for part in (*found.by_source, *found.by_length, *found.by_codec, *found.by_snr):
        assert part.low <= part.accuracy <= part.high
        assert sum(map(sum, part.confusion)) == part.n
        assert 0 <= part.ece <= 1
        assert 0 <= part.equal_error_rate <= 1
    by_name = {part.name: part for part in found.by_source}
    assert (by_name["en0 (en)"].drawn, by_name["en0 (en)"].n_speakers) == ("clip", 1)
    assert by_name["en1 (en)"].drawn == "speaker"
    assert found.worst_source == by_name["zh2 (zh)"]
    # A source is in one language: it is held against all of the other one.
    assert by_name["zh2 (zh)"].equal_error_rate > 0.3 > by_name["zh1 (zh)"].equal_error_rate


def test_differences_are_paired():
    rows = drawn()
    better = replace(rows, p_zh=np.where(rows.labels == 1, 0.99, 0.01))
    found = accuracy_differences({"same": rows, "better": better}, rows, resamples=200)
    assert found["same"].as_json() == {"value": 0, "low": 0, "high": 0}
    own = evaluate_scored(rows, resamples=200).balanced_accuracy
    assert found["better"].value == pytest.approx(1 - own.value)
    # What is right throughout adds nothing: the interval is the rows' own, turned over.
    assert found["better"].low == pytest.approx(1 - own.high)
    with pytest.raises(LearningError) as refused:
        accuracy_differences({"fewer": rows.take(np.arange(9))}, rows)
    assert refused.value.reason == "resultsMismatch"


def test_the_equal_error_rate_has_an_interval_about_it():
    rows = drawn()
    found = error_rate_interval(rows, resamples=100)
    assert found.value == evaluate_scored(rows, resamples=1).equal_error_rate
    assert found.low < found.value < found.high


def test_a_perfect_and_a_turned_model():
    rows = drawn()
    perfect = evaluate_scored(replace(rows, p_zh=rows.labels.astype(float)), resamples=50)
    assert perfect.balanced_accuracy.value == perfect.auc == 1
    assert perfect.ece == perfect.brier == 0
    assert perfect.equal_error_rate == pytest.approx(0)
    turned = evaluate_scored(replace(rows, p_zh=1.0 - rows.labels), resamples=50)
    assert turned.balanced_accuracy.value == turned.auc == 0
    assert turned.equal_error_rate == pytest.approx(1)


def test_one_language_cannot_be_judged():
    rows = drawn()
    with pytest.raises(LearningError) as refused:
        evaluate_scored(rows.take(rows.labels == 0))
    assert refused.value.reason == "oneLanguage"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=2, max_size=60))
def test_the_equal_error_rate_turns_with_the_scores(pairs):
    positive = np.array([positive for positive, _ in pairs])
    scores = np.array([score for _, score in pairs], dtype=float)
    if positive.all() or not positive.any():
        return
    rate = equal_error_rate(positive, scores)
    assert 0 <= rate <= 1
    assert equal_error_rate(~positive, -scores) == pytest.approx(rate)
    assert equal_error_rate(positive, -scores) == pytest.approx(1 - rate)


def test_calibration_error_is_the_gap_between_sure_and_right():
    right = np.arange(100) < 70
    assert calibration_error(right, np.full(100, 0.95)) == pytest.approx(0.25)
    assert calibration_error(right, np.full(100, 0.7)) == pytest.approx(0)


@pytest.mark.parametrize("truth", [1.0, 4.0])
def test_the_temperature_undoes_overconfidence(truth):
    generator = np.random.default_rng(1)
    margin = generator.normal(0, 2, 20_000)
    labels = (generator.random(20_000) < 1 / (1 + np.exp(-margin))).astype(np.int64)
    logits = np.column_stack([-margin / 2, margin / 2]) * truth
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(truth, rel=0.15)
    assert (probabilities(logits, temperature).argmax(axis=1) == logits.argmax(axis=1)).all()


def test_the_probe_finds_a_source_that_is_there_and_none_that_is_not():
    generator = np.random.default_rng(2)
    sources = [f"s{n}" for n in generator.integers(0, 4, 600)]
    speakers = [
        f"{source}-{n}" for source, n in zip(sources, generator.integers(0, 6, 600), strict=True)
    ]
    noise = generator.normal(size=(600, 8))
    told = noise + 3 * np.eye(8)[[int(source[1]) for source in sources]]
    assert source_probe(told, sources, speakers)["accuracy"] > 0.9
    assert source_probe(noise, sources, speakers)["accuracy"] == pytest.approx(0.25, abs=0.1)


def test_the_spread_over_seeds():
    assert spread({0: 0.5, 1: 0.7}) == pytest.approx(
        {"mean": 0.6, "deviation": 0.1414, "lowest": 0.5, "highest": 0.7}, abs=1e-3
    )
    assert spread({4: 0.5})["deviation"] == 0


def test_finished_trainings_are_kept_and_not_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr(SpectrogramCnnModel, "default", replace(TINY, epochs=1))
    (tmp_path / "clips").mkdir()
    manifest = write_clips(tmp_path / "clips", clips=2)
    splits = source_splits(manifest, quick=True)
    told = []

    def run(wanted, cancelled=lambda: False):
        return run_splits(
            wanted,
            tmp_path / "features",
            models=["spectrogram_cnn"],
            seeds=[0],
            results=tmp_path / "results.jsonl",
            codecs=True,
            progress=lambda *step: told.append(step),
            cancelled=cancelled,
        )

    first = run(splits[:1])
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"cut short')
    with pytest.raises(LearningCancelledError):
        run(splits, cancelled=lambda: len(told) > 1)
    assert len(read_results(tmp_path / "results.jsonl")) == 1
    run(splits[:2])
    assert len(read_results(tmp_path / "results.jsonl")) == 2
    wanted = {"models": ["spectrogram_cnn"], "seeds": [0], "results": tmp_path / "results.jsonl"}
    assert finished_results(splits[:3], **wanted, codecs=True) == run(splits[:2])
    assert finished_results(splits, **wanted | {"models": ["spectrogram_cnn", "crnn"]}) == []
    assert run(splits[:1]) == first
    rows = scored(manifest, first)
    assert len(rows) == len(splits[0].test)
    assert set(first[0].p_zh) == {
        "clean",
        "codec-mp3",
        "codec-opus",
        "codec-aac",
        "codec-g711",
        "codec-amr",
    }
    assert evaluate_scored(rows, resamples=20).n == len(rows)
    with pytest.raises(LearningError) as refused:
        scored(manifest.take([0]), first)
    assert refused.value.reason == "resultsMismatch"
