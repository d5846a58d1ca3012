"""Nights of retraining: who becomes champion, who does not, and what users read meanwhile."""

import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from db.locks import advisory_lock
from db.queries.learning import model_versions, promotions
from db.queries.policy import learned as learned_rows
from db.queries.policy import objects
from services.cli.main import app
from services.embedded import Endpoints
from services.errors import PermanentError, TransientError, UsageError
from services.learning import pipeline, results, tasks
from services.learning.grading.grader import load_grader
from services.learning.promotion import by_hand, decisions
from services.learning.promotion.decisions import Decision
from services.learning.tasks import TASKS, ThumbnailsTask
from services.learning.thumbnails import promotion as views
from services.policy import learned, retention
from services.storage import object_name
from services.work import jobs, retries
from tests.support import promotion as support
from tests.support.cli import settings_of
from tests.support.promotion import World, store_channels, world


@dataclass(frozen=True)
class Week:
    """Four nights, and what users read after each."""

    world: World
    nights: list[jobs.JobView]
    shown: list[set[tuple[str, int]]]
    champions: list[str]

    def decision(self, night: int) -> dict[str, Any]:
        return self.nights[night].steps["contest"]


@pytest.fixture(scope="module")
def week(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Week]:
    """A weak first champion; a better model; one from broken labels; an equally good one."""
    with world(endpoints, tmp_path_factory.mktemp("week"), "test_promotion_week") as made:
        store_channels(made.context, range(40))
        nights, shown, champions = [], [], []
        for seed, broken in ((1, 0.6), (2, 0.0), (3, 0.6), (5, 0.0)):
            nights.append(made.night(seed=seed, broken=broken))
            assert nights[-1].state == "succeeded", nights[-1].error_message
            shown.append(made.shown())
            champions.append(made.champion())
            first = 40 + 5 * len(nights)
            store_channels(made.context, range(first, first + 3))
        yield Week(made, nights, shown, champions)


@pytest.fixture
def after(week: Week, endpoints: Endpoints, tmp_path: Path) -> Iterator[World]:
    """A world of one's own, as it was after that week."""
    with world(endpoints, tmp_path, "test_promotion_after", like=week.world) as made:
        yield made


@pytest.fixture
def run(after: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command on the world; its output, or its error raised."""
    for name, value in settings_of(after.context).items():
        monkeypatch.setenv(name, value)

    def typed(*words: str) -> str:
        result = CliRunner().invoke(app, list(words))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return typed


def test_the_first_sound_ladder_becomes_champion_and_is_read(week: Week):
    told = week.decision(0)
    assert (told["decision"], told["ground"], told["champion"]) == (
        "promoted",
        "firstChampion",
        None,
    )
    assert told["challenger"] == week.champions[0]
    assert week.champions[0].endswith("@1")
    assert {version for _, version in week.shown[0]} == {1}


def test_a_better_challenger_is_promoted_and_its_ladder_read_for_every_video(week: Week):
    told = week.decision(1)
    assert (told["decision"], told["ground"]) == ("promoted", "better")
    assert told["champion"] == week.champions[0]
    assert week.champions[1] == told["challenger"]
    assert {version for _, version in week.shown[1]} == {2}
    # It scored its own rows to challenge, and everything else once it had won.
    assert week.nights[1].steps["scoreRest"]["models"]["subscribers"] == 2
    assert "better than the champion: R² +" in told["reason"]


def test_a_challenger_from_broken_labels_is_not_and_users_read_the_champion(week: Week):
    told = week.decision(2)
    assert told["decision"] == "kept"
    assert told["ground"] in ("worse", "slips", "worseInPart", "notSound")
    assert week.champions[2] == week.champions[1]
    assert week.shown[2] == week.shown[1]
    # What came since is scored by the champion.
    assert week.nights[2].steps["scoreRest"]["models"]["subscribers"] == 2
    assert week.nights[2].steps["scoreRest"]["scored"] == 9


def test_an_equally_good_challenger_passes_and_the_reason_says_so(week: Week):
    told = week.decision(3)
    assert (told["decision"], told["ground"]) == ("promoted", "noWorse")
    assert "no worse than the champion" in told["reason"]
    [figures] = week.world.sql("SELECT figures FROM promotion_history WHERE ground = 'noWorse'")
    difference = figures[0]["measures"]["r2"]["difference"]
    assert difference["low"] < 0 < difference["high"]
    assert figures[0]["n_rows"] >= 50
    assert figures[0]["choice"][0]["rung"] == "constant"
    assert any(part["judged"] for part in figures[0]["parts"])


def test_every_decision_is_kept_with_its_night(week: Week):
    rows = week.world.sql(
        "SELECT decision, ground, job_id FROM promotion_history ORDER BY promotion_id"
    )
    assert [row[:2] for row in rows] == [
        (told["decision"], told["ground"]) for told in map(week.decision, range(4))
    ]
    assert [str(row[2]) for row in rows] == [night.job_id for night in week.nights]
    [(champions,)] = week.world.sql(
        "SELECT count(*) FROM model_aliases WHERE task = 'thumbnails' AND alias = 'champion'"
    )
    assert champions == 1


def test_every_video_has_a_score_of_the_champion(week: Week):
    missing = week.world.sql(
        "SELECT video_id FROM videos WHERE video_id NOT IN "
        "(SELECT video_id FROM scored_videos WHERE is_champion AND ladder = 'champion') "
        # Those of the last three channels came after the last night.
        "AND channel_id < :c",
        c=support.channel_id(60),
    )
    assert missing == []


def test_grading_asks_the_champions_ladder_and_its_own_comparison(after: World, tmp_path: Path):
    after.night(seed=7, broken=1.0)
    grader = load_grader(after.context, tmp_path / "judge", subscribers=20_000)
    assert grader.version == 4
    assert grader.evidence.state != "notCompared"
    with after.context.transaction() as session:
        in_use = {dataset for dataset, _ in objects.datasets_in_use(session)}
        champion = promotions.model_of(session, task="thumbnails")
    assert champion is not None
    assert champion.dataset_id in in_use  # its pictures outlive their retention
    assert len(in_use) == 2


def test_a_failing_night_leaves_the_champion_and_goes_on_when_it_can(after: World):
    champion, shown = after.champion(), after.shown()
    after.tomorrow()
    job_id = after.begin(seed=8)
    [(files,)] = after.sql(
        "SELECT files FROM model_versions WHERE rung = 'subscribers' ORDER BY version DESC LIMIT 1"
    )
    lost = _object(after, files["model.safetensors"])
    content = lost.read_bytes()
    lost.unlink()
    failed = after.go_on(job_id)
    assert (failed.state, failed.error_reason, list(failed.steps)) == (
        "failed",
        "objectMissing",
        ["train"],
    )
    assert (after.champion(), after.shown()) == (champion, shown)
    lost.write_bytes(content)
    assert retries.retry_failed_jobs(after.context, reason="objectMissing") == [failed.job_id]
    again = after.go_on(job_id)
    assert again.state == "succeeded", again.error_message
    assert set(again.steps) == set(TASKS["thumbnails"].night())


def test_a_champion_that_is_damaged_is_replaced_and_cannot_be_promoted_again(
    after: World, run: Callable[..., str]
):
    champion = after.champion()
    [(files,)] = after.sql(
        "SELECT m.files FROM model_versions m JOIN champion_ladders USING (model_version_id) "
        "WHERE champion_ladders.is_champion"
    )
    damaged = _object(after, files["model.safetensors"])
    damaged.write_bytes(damaged.read_bytes()[:-1])
    told = after.night(seed=9).steps["contest"]
    assert (told["decision"], told["ground"]) == ("promoted", "championUnusable")
    assert champion in told["reason"]
    with pytest.raises(PermanentError) as refused:
        run("models", "promote", champion, "--why", "it was good")
    assert refused.value.reason in ("objectCorrupt", "objectMissing")
    with pytest.raises(PermanentError):
        run("models", "rollback")
    assert "can no longer be used" in run("models", "show", champion, "--card")


def test_models_that_answer_another_question_do_not_contest(after: World):
    champion = after.champion()
    told = after.night(seed=10, threshold=300).steps["contest"]
    assert (told["decision"], told["ground"]) == ("kept", "otherThreshold")
    assert "100 views a day" in told["reason"]
    assert after.champion() == champion


@pytest.mark.usefixtures("waits")
def test_a_second_retraining_waits_for_the_first_however_long(after: World):
    first, second = (jobs.submit(after.context, "retrain", {}) for _ in range(2))
    worker = in_a_step(after, first)
    for _ in range(5):  # more often than a job may fail
        waiting = after.go_on(second)
        assert (waiting.state, waiting.error_reason) == ("queued", None)
        assert "another retraining" in (waiting.progress_message or "")
    speech = jobs.submit(after.context, "retrain", {"task": "speech"})
    assert after.go_on(speech).error_reason == "noSpeech"  # another task has its own turn
    support.go.set()
    worker.join(60)
    assert jobs.view(after.context, first).state == "succeeded"
    assert after.go_on(second).state == "succeeded"


def in_a_step(made: World, job_id: uuid.UUID) -> threading.Thread:
    """Begin a job in a thread; return when it is within a step that waits to be told to go on."""
    support.begun.clear()
    support.go.clear()
    token = made.taken(job_id)
    worker = threading.Thread(
        target=jobs.run, args=(made.context, job_id, token, pipeline.retrain), daemon=True
    )
    worker.start()
    assert support.begun.wait(60)
    return worker


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a retraining have two steps, each of which waits until it is told to go on."""
    steps = {"first": support.waiting, "second": support.waiting}
    monkeypatch.setattr(ThumbnailsTask, "night", lambda _: steps)


@pytest.mark.usefixtures("waits")
def test_a_retraining_that_is_cancelled_ends_within_its_step(after: World):
    job_id = jobs.submit(after.context, "retrain", {})
    worker = in_a_step(after, job_id)
    jobs.cancel(after.context, job_id)
    worker.join(60)
    ended = jobs.view(after.context, job_id)
    assert (ended.state, ended.steps) == ("cancelled", {})


@pytest.mark.usefixtures("waits")
def test_who_lost_the_lock_begins_no_other_step_and_comes_back_later(after: World):
    job_id = jobs.submit(after.context, "retrain", {})
    worker = in_a_step(after, job_id)
    [(ended,)] = after.sql(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory'"
    )
    assert ended == 1
    support.go.set()
    worker.join(60)
    waiting = jobs.view(after.context, job_id)
    assert (waiting.state, set(waiting.steps)) == ("queued", {"first"})
    assert "lock" in (waiting.progress_message or "")
    assert after.go_on(job_id).state == "succeeded"


def test_a_retraining_that_was_killed_between_steps_goes_on_after_the_last_that_ended(
    after: World, tmp_path: Path
):
    after.tomorrow()
    job_id = after.begin(seed=11)
    token = after.taken(job_id)
    code = (
        "import sys, uuid\n"
        "from services.work import jobs\n"
        "from services.context import Context\n"
        "from services.learning import pipeline, tasks\n"
        "from services.settings import Settings\n"
        "from tests.support.promotion import waiting\n"
        "steps = list(tasks.TASKS['thumbnails'].night().items())\n"
        "until_killed = dict([*steps[:3], ('wait', waiting)])\n"
        "tasks.ThumbnailsTask.night = lambda _: until_killed\n"
        "jobs.run(Context(Settings()), uuid.UUID(sys.argv[1]), uuid.UUID(sys.argv[2]),"
        " pipeline.retrain)\n"
    )
    with (
        (tmp_path / "stderr").open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-c", code, str(job_id), str(token)],
            env={**os.environ, **settings_of(after.context)},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        said = process.stdout.readline()
        while said and said != "waiting\n":
            said = process.stdout.readline()
        assert said == "waiting\n", (tmp_path / "stderr").read_text()
        process.kill()
    held = _lock_is_free(after)
    assert held
    assert set(jobs.view(after.context, job_id).steps) == {"train", "score", "compare"}
    ended = after.go_on(job_id)
    assert ended.state == "succeeded", ended.error_message
    assert set(ended.steps) == set(TASKS["thumbnails"].night())


def test_a_decision_is_made_once_although_its_worker_dies_before_noting_it(after: World):
    after.tomorrow()
    job_id = after.begin(seed=12)
    handle = jobs.JobHandle(after.context, job_id, uuid.uuid4(), {}, {})
    with pytest.raises(PermanentError, match="not compared") as refused:
        views.promote(after.context, handle)
    assert refused.value.reason == "notCompared"
    ended = after.go_on(job_id)
    told = ended.steps["contest"]
    assert views.promote(after.context, handle) == told
    [(count,)] = after.sql("SELECT count(*) FROM promotions WHERE job_id = :j", j=job_id)
    assert count == 1


def test_a_night_in_which_nothing_was_trained_keeps_the_champion(after: World):
    champion = after.champion()
    [(steps,)] = after.sql("SELECT steps FROM jobs ORDER BY created_at DESC LIMIT 1")
    job_id = jobs.submit(after.context, "retrain", {})
    after.sql(
        "UPDATE jobs SET steps = CAST(:s AS jsonb) WHERE job_id = :j",
        s=json.dumps({"train": steps["train"] | {"trained": False}}),
        j=job_id,
    )
    told = after.go_on(job_id).steps["contest"]
    assert (told["decision"], told["ground"]) == ("kept", "sameTraining")
    assert after.champion() == champion


def test_a_contest_is_held_anew_where_somebody_changed_the_champion_meanwhile(after: World):
    with after.context.transaction() as session:
        champion = promotions.model_of(session, task="thumbnails")
        older = promotions.history(session, task="thumbnails")[0].challenger_version_id
    assert champion is not None
    stale = Decision("promoted", "better", "It is better.", champion, champion)
    [(name,)] = after.sql(
        "SELECT rung || '@' || version FROM model_versions WHERE model_version_id = :m", m=older
    )
    rung, version = name.rsplit("@", 1)
    with after.context.transaction() as session:
        row = model_versions.get(session, task="thumbnails", rung=rung, version=int(version))
    assert row is not None
    by_hand.promote(after.context, row, why="to see")
    with pytest.raises(TransientError) as refused:
        decisions.carry_out(after.context, "thumbnails", stale)
    assert refused.value.reason == "championChanged"
    assert after.champion() == name


def test_by_hand_a_model_is_promoted_and_taken_back(after: World, run: Callable[..., str]):
    before = after.champion()
    told = run("models", "promote", "subscribers@2", "--why", "a trial", "--dry-run")
    assert told == f"subscribers@2 would be champion instead of {before}\n"
    assert after.champion() == before
    run("models", "promote", "subscribers@2", "--why", "a trial")
    assert after.champion() == "subscribers@2"
    assert {version for _, version in after.shown()} == {2}
    with pytest.raises(UsageError, match="already"):
        run("models", "promote", "subscribers@2", "--why", "again")
    with pytest.raises(UsageError, match="say why"):
        run("models", "promote", "subscribers@1", "--why", " ")
    back = json.loads(run("models", "rollback", "--json"))
    assert (back["decision"], back["challenger"]) == ("rolledBack", before)
    assert "subscribers@2" in back["reason"]
    assert after.champion() == before
    [(deposed,)] = after.sql(
        "SELECT model_version_id FROM model_versions WHERE rung = 'subscribers' AND version = 2"
    )
    assert decisions.deposed_by(decisions.history(after.context, "thumbnails")) == deposed
    for _ in range(2):  # to the very first
        run("models", "rollback", "--why", "further")
    with pytest.raises(UsageError, match="no champion of thumbnails before") as refused:
        run("models", "rollback")
    assert refused.value.reason == "noEarlierChampion"
    assert after.champion().endswith("@1")
    with pytest.raises(UsageError, match="no champion of speech"):
        run("models", "rollback", "--task", "speech")


def test_after_a_purge_what_stays_is_read_compared_verified_and_gone_back_to(
    after: World, run: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(learned_rows, "RECENT_CHAMPIONS", 0)
    after.sql(
        "DELETE FROM model_aliases WHERE alias = 'challenger'"
    )  # another one challenged since
    query = "SELECT challenger_version FROM promotion_history WHERE decision <> 'kept'"
    crowned = {version for (version,) in after.sql(query)}
    shown = after.sql("SELECT * FROM scored_videos ORDER BY video_id, rung")
    compared = results.newest_comparison(after.context, "thumbnails")
    settings = after.context.settings.model_copy(update={"retention_nights": 1})
    with closing(replace(after.context, settings=settings)) as context:
        report = retention.purge(context, dry_run=False, kinds=learned.KINDS)
    scores, models, thinned = report.kinds
    assert scores.rows > 0
    assert models.rows > 0
    assert thinned.note == "of 2 the pictures only"
    # What lost is gone; every champion is there, with what was trained together with it.
    left = {version for (version,) in after.sql("SELECT version FROM model_versions")}
    assert left == crowned
    assert after.sql("SELECT * FROM scored_videos ORDER BY video_id, rung") == shown
    assert results.newest_comparison(after.context, "thumbnails") == compared
    for (dataset_id,) in after.sql("SELECT dataset_id FROM datasets"):
        assert json.loads(run("datasets", "verify", dataset_id, "--json"))["clean"] is True
    first = min(crowned)
    assert f"@{first}" in run("models", "list", "--all")
    card = run("models", "show", f"subscribers@{first}", "--card")
    assert "95 % intervals" in card
    assert "cannot be read" not in card
    for _ in crowned - {first}:
        run("models", "rollback")
    assert after.champion().endswith(f"@{first}")
    assert after.shown() == set()
    job_id = jobs.submit(after.context, "score", {})
    assert jobs.run(after.context, job_id, after.taken(job_id), tasks.score) == "succeeded"
    assert {version for _, version in after.shown()} == {first}


def test_a_rollback_is_not_undone_before_something_is_trained(week: Week, after: World):
    with after.context.transaction() as session:
        old, new = (
            model_versions.get(session, task="thumbnails", rung="subscribers", version=version)
            for version in (1, 2)
        )
    assert old is not None
    assert new is not None
    said = {"chosen_by": "It is the best.", "figures": {}}
    made = decisions.settled(old, new, [new], deposed=new.model_version_id, **said)
    assert made is not None
    assert (made.decision, made.ground, made.challenger) == ("kept", "rolledBackFrom", None)
    assert decisions.settled(old, new, [new], deposed=old.model_version_id, **said) is None


def test_a_model_that_scored_nothing_cannot_be_promoted(after: World, run: Callable[..., str]):
    after.begin(seed=13)
    with pytest.raises(PermanentError) as refused:
        run("models", "promote", "subscribers", "--why", "it is new")
    assert refused.value.reason == "notScored"
    assert "tubegrader models score" in str(refused.value.hint)


def test_models_are_listed_with_who_is_champion_and_why(
    week: Week, after: World, run: Callable[..., str]
):
    found = json.loads(run("models", "list", "--json"))
    champions = [m for m in found["models"] if "champion" in m["aliases"]]
    assert [m["name"] for m in champions] == [after.champion()]
    assert champions[0]["metrics"]["auc"]["low"] <= champions[0]["metrics"]["auc"]["value"]
    assert {m["version"] for m in found["models"]} == {4}
    assert all(m["in_use"] for m in found["models"])
    assert found["decisions"]["thumbnails"]["reason"] == week.decision(3)["reason"]
    every = json.loads(run("models", "list", "--all", "--task", "thumbnails", "--json"))
    assert {m["version"] for m in every["models"]} == {1, 2, 3, 4}
    assert not any(m["in_use"] for m in every["models"] if m["version"] == 3)
    table = run("models", "list")
    assert after.champion() in table
    assert "no worse than the champion" in table
    assert json.loads(run("models", "list", "--task", "speech", "--json"))["models"] == []


def test_a_model_is_shown_with_its_card(week: Week, after: World, run: Callable[..., str]):
    shown = json.loads(run("models", "show", "champion", "--json"))
    assert shown["name"] == after.champion()
    assert shown["decisions"][-1]["reason"] == week.decision(3)["reason"]
    assert shown["dataset"]["more"]["label_kinds"] == ["lifetime"]
    assert shown["evaluation"]["rung"]["r2"]["low"] is not None
    assert set(shown["files"]) >= {"model.json", "model.safetensors"}
    card = run("models", "show", after.champion(), "--card")
    for expected in (
        f"# {after.champion()}\n",
        "Not for:",
        shown["dataset"]["dataset_id"],
        shown["files"]["model.safetensors"],
        week.decision(3)["reason"],
        "seed 5",
        "| log_loss |",
        "| subscribers | 10,000 |",
    ):
        assert expected in card
    assert after.champion() in run("models", "show", "champion")
    rung = after.champion().partition("@")[0]
    assert json.loads(run("models", "show", f"{rung}@champion", "--json"))["name"] == shown["name"]
    assert json.loads(run("models", "show", f"{rung}@1", "--json"))["decisions"] is not None
    for name in ("nothing", f"{rung}@99", "thumbnail@x"):
        with pytest.raises(UsageError, match="there is no"):
            run("models", "show", name)


def _object(made: World, sha256: str) -> Path:
    return made.context.settings.home.parent / "objects" / object_name(sha256)


def _lock_is_free(made: World) -> bool:
    """Wait until PostgreSQL has noticed that the process that held the lock is gone."""
    for _ in range(100):
        with advisory_lock(made.context.engine, "retraining:thumbnails") as lock:
            if lock is not None:
                return True
    return False


@pytest.mark.slow
def test_whole_nights_train_contest_and_are_the_same_again(endpoints: Endpoints, tmp_path: Path):
    """Nothing is preset: the networks have their real size."""
    ends = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        with world(endpoints, folder, f"test_promotion_whole_{number}") as made:
            store_channels(made.context, range(30))
            nights = []
            for seed in (1, 2):
                made.tomorrow()
                params = {"task": "thumbnails", "backbone": False, "seed": seed}
                nights.append(made.go_on(jobs.submit(made.context, "retrain", params)))
                assert nights[-1].state == "succeeded", nights[-1].error_message
            assert nights[0].steps["contest"]["ground"] == "firstChampion"
            assert nights[1].steps["contest"]["champion"].endswith("@1")
            ends.append(
                [[night.steps[s] for s in ("train", "contest", "scoreRest")] for night in nights]
            )
    assert ends[0] == ends[1]
