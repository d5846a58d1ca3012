"""A newcomer's way through the pages in a real browser, from nothing to a graded thumbnail."""

import importlib.util
import re
import uuid
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services.crawl import intake, runs
from services.crawl.sources import NamedChannel
from services.learning.results import newest_comparison
from services.media.audio import selection
from services.work import jobs
from tests.support.chromium import chromium
from tests.support.embedded import wait_until
from tests.support.grading import encoded, picture
from tests.support.site import Heard, Site, browser, running_site, violations, visitor
from tests.support.sound import voiced, write_wav

if TYPE_CHECKING:
    from playwright.sync_api import Page

HAS = {name: importlib.util.find_spec(name) for name in ("playwright", "axe_playwright_python")}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1_500),
    pytest.mark.skipif(
        chromium() is None, reason="no Chromium on this machine (apt-get install chromium)"
    ),
    pytest.mark.skipif(HAS["playwright"] is None, reason="no Playwright (pip install playwright)"),
]
CHANNELS, VIDEOS = 40, 240
LONG_MS = 240_000.0
PAGES = (
    "/",
    "/digest",
    "/channels",
    "/channels/{channel}",
    "/videos",
    "/videos?order=underestimated",
    "/videos/{video}",
    "/grade",
    "/comparison",
    "/speech",
    "/speech/conflicts",
    "/models",
    "/models/{model}",
    "/jobs",
    "/jobs/{job}",
    "/schedules",
    "/completeness",
    "/ask?q=SELECT+title,views_per_day+FROM+scored_videos+WHERE+is_champion+LIMIT+3",
    "/nothing",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("site") / "home"
    with running_site(home, channels=CHANNELS, videos=VIDEOS) as found:
        yield found


def thumbnails(folder: Path, shared: Path) -> list[Path]:
    """Return two real thumbnails in HD; where there are none, two drawn ones."""
    found = sorted((shared / "youtube" / "hd" / "thumbnails").glob("*.jpg"))[:2]
    if not found:
        found = [folder / f"drawn-{light}.jpg" for light in (-1, 1)]
        for place, path in enumerate(found):
            pixels = picture(light=2 * place - 1, seed=place, size=(1280, 720))
            path.write_bytes(encoded(pixels))
    return found


def done(site: Site, job: uuid.UUID) -> None:
    wait_until(lambda: jobs.view(site.context, job).ended, "the job's end", 600)
    found = jobs.view(site.context, job)
    assert (found.state, found.error_message) == ("succeeded", None)


def collect_and_learn(site: Site) -> None:
    """Collect everything, one channel's speech labelled wrongly, and learn from it."""
    context, spoken = site.context, site.youtube.spoken_ids
    intake.add_all(context, site.youtube.channel_ids)
    intake.add(context, [NamedChannel(1, spoken[0])], language="zh")
    policy = selection.AudioPolicy(seconds_wanted=30, shortest_s=1, newest_videos=3)
    selection.add(context, spoken, policy=policy)
    done(site, runs.start(context, site.youtube.channel_ids, with_audio=True))
    done(site, jobs.submit(context, "retrain", {"backbone": False}))
    heard = {"task": "speech", "rungs": ["spectrogram_cnn"], "folds": 2, "epochs": 4}
    done(site, jobs.submit(context, "retrain", heard))


def first_visit(page: "Page", site: Site) -> None:
    from playwright.sync_api import expect

    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.get_by_role("main").get_by_role("link", name="Add channels").click()
    page.get_by_label("Watch channels").fill(site.youtube.channel_ids[0])
    page.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_url(re.compile("/jobs/"))
    # Followed from here on without a hand; the page says by itself that it has ended.
    expect(page.locator("#job-state")).to_have_text("succeeded", timeout=LONG_MS)
    expect(page.get_by_role("heading", name="Result")).to_be_visible()
    page.get_by_role("link", name="Videos", exact=True).click()
    expect(page.locator("tbody tr").first).to_be_visible()


def compare_and_grade(page: "Page", site: Site, pictures: list[Path]) -> None:
    from playwright.sync_api import expect

    page.get_by_role("link", name="Comparison", exact=True).click()
    said = newest_comparison(site.context, "thumbnails")["sentence"]
    expect(page.locator(".lede")).to_have_text(said)
    page.get_by_role("link", name="Grade", exact=True).click()
    page.get_by_label("Pictures").set_input_files(pictures)
    page.get_by_label("Or one with so many subscribers").fill("100000")
    page.get_by_role("button", name="Grade", exact=True).click(timeout=LONG_MS)
    expect(page.get_by_role("heading", name="Measured")).to_have_count(2, timeout=LONG_MS)
    for each in pictures:
        expect(page.get_by_role("heading", name=each.name, exact=True)).to_be_visible()


def promote_and_roll_back(page: "Page") -> None:
    from playwright.sync_api import expect

    page.get_by_role("link", name="Models", exact=True).click()
    models = page.get_by_role("region", name="Models")
    models.get_by_role("link", name="age+format@1", exact=True).click()
    page.get_by_text("All that is known of it").click()
    expect(page.locator("details pre")).to_contain_text("## What it is for")
    page.get_by_text("Promote", exact=True).click()
    page.get_by_label("Why").fill("it is the plainest")
    page.get_by_role("button", name="Make it the champion").click()
    panel = page.locator("section", has=page.get_by_role("heading", name="thumbnails: byHand"))
    expect(panel).to_contain_text("it is the plainest")
    panel.get_by_text("Roll back", exact=True).click()
    panel.get_by_role("button").click()
    expect(page.get_by_role("heading", name="thumbnails: rolledBack")).to_be_visible()


def schedule(page: "Page") -> None:
    from playwright.sync_api import expect

    page.get_by_role("link", name="Schedules", exact=True).click()
    page.get_by_label("Name", exact=True).fill("each-morning")
    page.get_by_label("Does").select_option("crawl")
    page.get_by_label("When: five fields").fill("30 6 * * *")
    page.get_by_role("button", name="Add", exact=True).click()
    row = page.get_by_role("row", name="each-morning")
    row.locator("summary").last.click()
    expect(row.locator("details li")).to_have_count(4)
    row.locator("summary", has_text="Change").click()
    row.get_by_label("When").fill("6h")
    row.get_by_role("button", name="Change").click()
    expect(page.get_by_role("row", name="each-morning")).to_contain_text("every 6h")


def listen_and_label(page: "Page", folder: Path) -> None:
    from playwright.sync_api import expect

    page.get_by_role("link", name="Speech", exact=True).click()
    spoken = folder / "spoken.wav"
    write_wav(spoken, voiced(4))
    page.get_by_label("Sound or video").set_input_files(spoken)
    page.get_by_role("button", name="Tell the language").click()
    expect(page.get_by_role("heading", name=re.compile("spoken.wav:"))).to_be_focused(
        timeout=LONG_MS
    )
    page.get_by_role("button", name=re.compile("Play from")).first.click()
    played = "document.getElementById('player').currentTime > 0.1"
    wait_until(lambda: page.evaluate(played), "sound")
    record(page)
    page.get_by_role("link", name="Clips that contradict themselves").click()
    expect(page.locator(".conflict").first).to_be_visible()
    page.keyboard.press("j")
    expect(page.locator(".conflict").first).to_be_focused()
    page.keyboard.press("1")
    expect(page.locator(".conflict .said").first).to_have_text("labelled English")
    page.locator(".conflict").first.focus()
    page.keyboard.press("u")
    expect(page.locator(".conflict .said").first).to_have_text("undone")
    page.locator(".conflict").first.focus()
    page.keyboard.press("2")
    expect(page.locator(".conflict .said").first).to_have_text("labelled Chinese")
    page.reload()
    expect(page.get_by_role("region", name="Labelled by hand")).to_contain_text("Chinese")


def record(page: "Page") -> None:
    """Record what the browser's own microphone beeps."""
    from playwright.sync_api import expect

    page.get_by_role("button", name="Record").click()
    stop = page.get_by_role("button", name="Stop and tell")
    expect(stop).to_have_attribute("aria-pressed", "true")
    page.wait_for_timeout(1_500)  # so long is what is recorded
    stop.click()
    expect(page.get_by_role("heading", name=re.compile("recording.webm:"))).to_be_focused(
        timeout=LONG_MS
    )


def ask(page: "Page", heard: Heard) -> None:
    from playwright.sync_api import expect

    page.get_by_role("link", name="Ask", exact=True).click()
    page.get_by_label("One reading statement").fill("SELECT count(*) AS videos FROM videos")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("cell", name=str(VIDEOS), exact=True)).to_be_visible()
    question = "SELECT title, views_per_day FROM scored_videos WHERE is_champion LIMIT 5"
    page.get_by_label("One reading statement").fill(question)
    page.get_by_role("button", name="Keep the question here").click()
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#bars rect")).to_have_count(5)
    expect(page.get_by_role("link", name=question)).to_be_visible()
    page.get_by_label("One reading statement").fill("DELETE FROM videos")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("alert").first).to_contain_text("only SELECT")
    # A refusal is no defect, though the browser writes its status down.
    heard.complaints = [each for each in heard.complaints if "status of 400" not in each]


def found_wrong(page: "Page", site: Site, folder: Path) -> list[str]:
    """Return what is wrong with the pages as they are seen, with pictures of them in a folder."""
    axe = ""
    if HAS["axe_playwright_python"] is not None:
        axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
    with site.context.engine.connect() as connection:
        video = connection.exec_driver_sql("SELECT min(video_id) FROM current_scores").scalar_one()
    names = {
        "channel": site.youtube.channel_ids[0],
        "video": video,
        "model": "subscribers@1",
        "job": jobs.newest(site.context)[0].job_id,
    }
    wrong = []
    for address in PAGES:
        name = re.sub(r"\W+", "-", address.partition("=")[0]).strip("-") or "overview"
        page.goto(address.format(**names), wait_until="networkidle")
        if axe:
            wrong += [f"{address}: {each}" for each in violations(page, axe)]
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        wrong += [f"{address} is {wide} px wider than the window"] if wide > 0 else []
        page.screenshot(path=folder / f"{name}.png", full_page=True)
    return wrong


def test_a_newcomer_gets_from_nothing_to_a_graded_thumbnail(site: Site, tmp_path: Path) -> None:
    shared = Path(__file__).resolve().parents[3] / "shared" / "data"
    heard = Heard()
    with browser() as opened:
        with visitor(opened, site, heard, viewport={"width": 1280, "height": 900}) as page:
            page.context.grant_permissions(["microphone"])
            first_visit(page, site)
            collect_and_learn(site)
            compare_and_grade(page, site, thumbnails(tmp_path, shared))
            promote_and_roll_back(page)
            schedule(page)
            listen_and_label(page, tmp_path)
            ask(page, heard)
        wrong = []
        for scheme, width in (("light", 1280), ("dark", 1280), ("light", 390)):
            folder = tmp_path / f"{scheme}-{width}"
            folder.mkdir()
            seen = {"viewport": {"width": width, "height": 844}, "color_scheme": scheme}
            with visitor(opened, site, heard, **seen) as page:
                found = found_wrong(page, site, folder)
                wrong += [f"{scheme} {width}: {each}" for each in found]
    heard.complaints = [each for each in heard.complaints if "/nothing" not in each]
    assert (heard.complaints, heard.elsewhere, wrong) == ([], [], [])
