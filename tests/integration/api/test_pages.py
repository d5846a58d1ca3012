"""Pages as a browser asks for them: of an empty installation, and of one with videos."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from services.context import Context
from services.work import jobs
from tests.support.catalogue import Catalogue, picture, scored_catalogue, video_id

HTML = {"Accept": "text/html"}
NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
PAGES = [
    "/",
    "/channels",
    "/videos",
    "/videos?order=underestimated",
    "/videos?order=overestimated",
    "/models",
    "/jobs",
    "/schedules",
    "/completeness",
    "/ask",
    "/digest",
    "/speech",
    "/speech/conflicts",
]
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def catalogue(context: Context) -> Catalogue:
    made = scored_catalogue(context, NOW, 7)
    ids = [video_id(n) for n in range(7)]
    made.count(ids, NOW - timedelta(days=2), 900)
    made.sql("UPDATE videos SET title = :t WHERE video_id = :v", t=EVIL, v=ids[3])
    made.sql("UPDATE channels SET title = :t", t=EVIL)
    return made


@pytest.mark.parametrize("address", PAGES)
def test_an_empty_installation_says_what_to_do_next(client: TestClient, address: str) -> None:
    answer = client.get(address, headers=HTML)
    assert answer.status_code == 200
    assert answer.text.count("<h1>") == 1
    assert "aria-current" in answer.text


def test_before_the_first_comparison_its_page_says_how_to_get_one(client: TestClient) -> None:
    answer = client.get("/comparison", headers=HTML)
    assert answer.status_code == 409
    assert "<code>tubegrader models retrain thumbnails</code>" in answer.text
    assert '<a class="button" href="/jobs">Begin a retraining</a>' in answer.text


@pytest.mark.parametrize(
    "address",
    [
        *PAGES,
        "/videos?title=alert",
        "/channels/UC" + "a" * 22,
        "/videos/video_00003",
        "/ask?q=SELECT+title+FROM+videos",
    ],
)
def test_what_people_wrote_is_shown_and_never_run(
    client: TestClient, catalogue: Catalogue, address: str
) -> None:
    answer = client.get(address, headers=HTML)
    assert answer.status_code == 200
    assert EVIL not in answer.text
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_a_channel_leads_to_the_grader_with_its_name_filled_in(
    client: TestClient, catalogue: Catalogue
) -> None:
    channel = "UC" + "a" * 22
    assert f'href="/grade?channel={channel}"' in client.get(f"/channels/{channel}").text
    assert f'name="channel" value="{channel}"' in client.get(f"/grade?channel={channel}").text
    assert 'href="/grade">Grade a thumbnail' in client.get("/").text


def test_the_page_that_asks_says_what_there_is_to_ask(client: TestClient) -> None:
    shown = client.get("/ask").text
    assert "<code>scored_videos</code>" in shown
    assert "<code>views_per_day</code>" in shown


def test_a_list_as_people_paste_it_is_taken_whole(client: TestClient) -> None:
    first, second = "UC" + "x" * 22, "UC" + "y" * 22
    answer = client.post("/channels", data={"channels": f"{first}, {second}"}, headers=HTML)
    assert answer.status_code == 200
    assert answer.text.count("not asked") == 2


def test_one_video_shows_its_counts_pictures_and_scores(
    client: TestClient, catalogue: Catalogue
) -> None:
    shown = client.get("/videos/video_00003", headers=HTML).text
    assert picture("video_00003", 1) in shown
    assert "thumbnail v1" in shown
    assert len(re.findall(r"<polyline", shown)) == 1


def test_the_wall_begins_with_what_was_furthest_from_the_prediction(
    client: TestClient, catalogue: Catalogue
) -> None:
    def first(order: str) -> str:
        shown = client.get(f"/videos?order={order}", headers=HTML).text
        return re.findall(r'href="/videos/(video_\d+)"', shown)[0]

    assert (first("underestimated"), first("overestimated")) == ("video_00000", "video_00006")


def test_a_job_is_begun_followed_and_cancelled(client: TestClient, context: Context) -> None:
    begun = client.post("/jobs", data={"kind": "train"})
    assert begun.status_code == 303
    page = begun.headers["location"]
    shown = client.get(page, headers=HTML).text
    assert f'data-follow="/api/v1{page}/events"' in shown
    assert client.post(f"{page}/cancel").headers["location"] == page
    assert jobs.newest(context)[0].state == "cancelled"
    assert 'data-follow=""' in client.get(page, headers=HTML).text


def test_a_schedule_is_added_fired_paused_and_removed(client: TestClient) -> None:
    added = client.post(
        "/schedules", data={"name": "hourly", "kind": "upkeep", "when": "5 * * * *"}
    )
    assert added.status_code == 303
    assert "5 * * * *" in client.get("/schedules", headers=HTML).text
    assert client.post("/schedules/hourly/run-now").headers["location"].startswith("/jobs/")
    assert client.post("/schedules/hourly/pause").status_code == 303
    assert client.post("/schedules/hourly/remove").status_code == 303
    assert "5 * * * *" not in client.get("/schedules", headers=HTML).text


def test_a_wrong_schedule_is_refused_in_words(client: TestClient) -> None:
    refused = client.post(
        "/schedules", data={"name": "x", "kind": "upkeep", "when": "61 * * * *"}, headers=HTML
    )
    assert refused.status_code == 400
    assert 'role="alert"' in refused.text


def test_a_channel_is_paused_tagged_and_forgotten_only_when_that_is_confirmed(
    client: TestClient, catalogue: Catalogue
) -> None:
    page = "/channels/UC" + "a" * 22
    client.post(f"{page}/pause")
    client.post(f"{page}/tag", data={"tag": "cooking"})
    shown = client.get(page, headers=HTML).text
    assert "paused since" in shown
    assert "cooking" in shown
    client.post(f"{page}/forget")
    assert client.get(page, headers=HTML).status_code == 200
    client.post(f"{page}/forget", data={"confirmed": "true"})
    assert client.get(page, headers=HTML).status_code == 404


def test_a_question_is_answered_as_a_table_or_csv_and_a_write_refused(
    client: TestClient, catalogue: Catalogue
) -> None:
    asked = {"q": "SELECT video_id, '=1+1' AS sum FROM videos ORDER BY 1"}
    assert "video_00006" in client.get("/ask", params=asked, headers=HTML).text
    lines = client.get("/ask", params=asked | {"form": "csv"}).text.splitlines()
    assert lines[:2] == ["video_id,sum", "video_00000,'=1+1"]
    refused = client.get("/ask", params={"q": "DELETE FROM videos"}, headers=HTML)
    assert refused.status_code == 400
    assert "only SELECT" in refused.text


def test_nothing_lies_at_other_addresses(client: TestClient) -> None:
    assert client.get("/nothing", headers=HTML).status_code == 404
    for name in ("..%2Fapp.py", "nothing.css", "%2Fetc%2Fpasswd"):
        assert client.get(f"/static/{name}").status_code == 404
    assert client.get("/static/app.css").headers["content-type"].startswith("text/css")


def test_a_swap_is_shown_on_its_channel_with_both_pictures(
    client: TestClient, catalogue: Catalogue
) -> None:
    page = "/channels/UC" + "b" * 22
    assert "Swapped" not in client.get(page, headers=HTML).text
    catalogue.show("video_00003", 2, now=NOW + timedelta(days=1))
    shown = client.get(page, headers=HTML).text
    _, _, swapped = shown.partition("Swapped")
    assert picture("video_00003", 1) in swapped
    assert picture("video_00003", 2) in swapped
    assert "every 2.0 days of late" in shown


def test_a_schedule_is_changed_and_stays_what_it_does(client: TestClient) -> None:
    client.post("/schedules", data={"name": "hourly", "kind": "upkeep", "when": "5 * * * *"})
    changed = client.post("/schedules/hourly/change", data={"when": "6h"})
    assert changed.status_code == 303
    shown = client.get("/schedules", headers=HTML).text
    assert "every 6h" in shown
    assert "5 * * * *" not in shown
    refused = client.post("/schedules/hourly/change", data={"when": "61 * * * *"}, headers=HTML)
    assert refused.status_code == 400
    assert "every 6h" in client.get("/schedules", headers=HTML).text
    gone = client.post("/schedules/nothing/change", data={"when": "6h"}, headers=HTML)
    assert gone.status_code == 404


def test_what_failed_is_tried_again_by_its_reason(client: TestClient, context: Context) -> None:
    first, other = (jobs.submit(context, "score", {}) for _ in range(2))
    with context.engine.begin() as connection:
        for job, reason in ((first, "noModel"), (other, "noStore")):
            connection.exec_driver_sql(
                "UPDATE jobs SET state = 'failed', ready_at = NULL, finished_at = now(), "
                "error_kind = 'permanent', error_reason = %s, error_message = 'no' "
                "WHERE job_id = %s",
                (reason, job),
            )
    assert "Try score again that failed: noModel" in client.get("/jobs", headers=HTML).text
    form = {"what": "jobs", "kind": "score", "reason": "noModel"}
    assert client.post("/jobs/retry", data=form).status_code == 303
    assert (jobs.view(context, first).state, jobs.view(context, other).state) == (
        "queued",
        "failed",
    )
    wrong = client.post("/jobs/retry", data=form | {"kind": "nothing"}, headers=HTML)
    assert wrong.status_code == 400


def test_points_of_the_scatter_are_what_was_predicted_and_what_came(
    client: TestClient, catalogue: Catalogue
) -> None:
    found = client.get("/comparison/points").json()
    assert found["model"] == "thumbnail v1"
    assert {point[0] for point in found["points"]} == {f"video_{n:05d}" for n in range(7)}
    first = next(point for point in found["points"] if point[0] == "video_00003")
    assert first[1] == EVIL
    assert first[3] == pytest.approx(9.0)  # 10 ** 1 less 1
    assert first[4] > 0


def test_models_say_who_became_champion_and_why(client: TestClient, catalogue: Catalogue) -> None:
    catalogue.sql(
        "INSERT INTO promotions (task, decided_at, decision, challenger_version_id, ground, reason,"
        " figures) VALUES ('thumbnails', :now, 'promoted', :m, 'firstChampion', :t, '{}')",
        now=NOW,
        m=catalogue.models[1],
        t=f"There was none. {EVIL}",
    )
    shown = client.get("/models", headers=HTML).text
    assert "Who became champion, and why" in shown
    assert "There was none. &lt;script&gt;" in shown


@pytest.mark.parametrize("after", ["nothing", "e30", "%00"])
def test_a_link_to_a_page_that_never_was_leads_to_the_first(client: TestClient, after: str) -> None:
    answer = client.get(f"/videos?after={after}", headers=HTML)
    assert answer.status_code == 400
    if after != "%00":  # refused before anything looks at it
        assert '<a class="button" href="/videos">Begin with the first page</a>' in answer.text


def test_figures_are_written_so_that_a_browser_can_write_them_as_its_reader_does(
    client: TestClient, catalogue: Catalogue
) -> None:
    shown = client.get("/videos/video_00003", headers=HTML).text
    percent = '<data value="0.5" data-digits="0" data-sign="auto" data-style="percent">'
    assert percent + "50\N{NO-BREAK SPACE}%</data>" in shown


def test_a_job_shows_what_workers_of_this_home_logged_of_it(
    client: TestClient, context: Context
) -> None:
    job = jobs.submit(context, "score", {})
    page = f"/jobs/{job}"
    assert "<h2>Log</h2>" not in client.get(page, headers=HTML).text
    logs = context.settings.home / "logs"
    logs.mkdir(parents=True)
    (logs / "scoring.log").write_text(f"another\nscored {job} {EVIL}\n")
    shown = client.get(page, headers=HTML).text
    assert f"scoring: scored {job} &lt;script&gt;" in shown
    assert "another" not in shown
