"""The report's section on speech, from what is in the database and the store."""

from sqlalchemy import text

from services.context import Context
from services.learning.report import write_report
from services.learning.report.page import render
from services.learning.report.speech import (
    NOTHING_COLLECTED,
    NOTHING_COMPARED,
    NOTHING_TRAINED,
    SpeechReport,
    gather_speech,
)
from services.learning.results import newest_comparison
from services.learning.speech.classifier import from_registry
from services.learning.speech.detection import ClassifiedFile, detect_language
from tests.support import sound
from tests.support.report_contents import Page, report_of
from tests.support.speech_jobs import collect, collect_all, run


def test_what_is_missing_is_told_step_by_step_until_the_figures_are_those_compared(
    context: Context, tmp_path
) -> None:
    assert gather_speech(context) == NOTHING_COLLECTED
    collect_all(context)
    collect(context, "en1", video=1, language="none")
    assert gather_speech(context) == NOTHING_TRAINED
    run(context, "train")
    assert gather_speech(context) == NOTHING_COMPARED
    run(context, "score")
    assert run(context, "compare").state == "succeeded"

    speech = gather_speech(context)
    assert isinstance(speech, SpeechReport)
    newest = newest_comparison(context, "speech")
    assert speech.sentence == newest["sentence"]
    assert [model.name for model in speech.models] == ["spectrogram_cnn", "crnn"]
    judged = newest["rungs"][speech.best]
    assert speech.model(speech.best).balanced_accuracy.value == max(
        values["balanced_accuracy"]["value"] for values in newest["rungs"].values()
    )
    assert speech.model(speech.best).worst_source.name == judged["worst_source"]["name"]
    assert speech.model("spectrogram_cnn").difference is None
    assert speech.model("crnn").difference is not None
    assert sum(speech.clips.by_language.values()) == 7
    assert speech.clips.labelled == 6

    for told_right, side in ((False, speech.examples.wrong), (True, speech.examples.right)):
        sources = [example.source for example in side]
        assert len(sources) == len(set(sources))
        for example in side:
            assert (example.truth == example.predicted) is told_right
            assert 0.5 <= example.probability <= 1
    assert speech.examples.wrong or speech.examples.right

    page = Page(render(report_of(), speech))
    assert page.all("p", "finding")[0].text == speech.sentence
    shown = [e for e in page.all("img") if "Spectrogram" in e.attributes["alt"]]
    assert len(shown) == len(speech.examples.wrong) + len(speech.examples.right)

    # Nothing was compared of thumbnails: the page is of speech alone.
    alone = Page(write_report(context, tmp_path / "report.html").read_text("utf-8"))
    assert alone.all("p", "finding")[0].text == speech.sentence

    # The best one is also who listens to a file.
    chosen = from_registry(context)
    assert chosen.name == speech.best
    found = detect_language(sound.write_wav(tmp_path / "a.wav", sound.voiced(2)), chosen.classifier)
    assert isinstance(found, ClassifiedFile)

    with context.engine.connect() as connection:
        names = connection.execute(text("SELECT DISTINCT flac_sha256 FROM speech_segments"))
        context.store.delete_many(names.scalars().all())
    without_sound = gather_speech(context)
    assert isinstance(without_sound, SpeechReport)
    assert without_sound.models == speech.models
    assert not [*without_sound.examples.wrong, *without_sound.examples.right]
    assert "No spectrograms" in Page(render(report_of(), without_sound)).text
