"""``quota plan`` without any stack: an assumed installation, and the cadence in force."""

import json

import pytest
from typer.testing import CliRunner

from services.cadence import DEFAULT, parse
from services.cli.main import app
from services.errors import UsageError

runner = CliRunner()
ASSUMED = ["plan", "--channels", "200", "--videos", "10000", "--uploads-per-day", "60"]


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("TUBEGRADER_HOME", str(tmp_path / "home"))


def test_an_assumption_is_planned_without_starting_anything(tmp_path):
    told = json.loads(runner.invoke(app, [*ASSUMED, "--json"]).stdout)
    assert told["fits"] is True
    assert told["limits"] == {"units": 10_000, "batchGetStats": 10_000}
    assert not (tmp_path / "home").exists()


def test_people_are_told_in_a_table_and_a_sentence():
    assert "The quota suffices." in runner.invoke(app, ASSUMED).stdout
    told = runner.invoke(app, [*ASSUMED, "--units", "100"]).stdout
    assert "has to wait for quota" in told
    assert "units are missing" in told
    assert "no quota at all" in runner.invoke(app, [*ASSUMED, "--units", "0"]).stdout


def test_where_no_longer_interval_helps_the_reason_is_told():
    long_lists = ["plan", "--channels", "20", "--videos", "400000"]
    told = runner.invoke(app, [*long_lists, "--units", "200"]).stdout
    assert "looking through all uploads once a month alone takes the quota" in told
    assert "no quota at all" not in told


def test_the_cadence_printed_is_the_one_in_force(tmp_path, monkeypatch):
    assert parse(runner.invoke(app, ["plan", "--show-policy"]).stdout) == DEFAULT
    file = tmp_path / "cadence.toml"
    file.write_text('[[videos]]\nevery = "3d"\n')
    monkeypatch.setenv("TUBEGRADER_CADENCE", str(file))
    shown = runner.invoke(app, ["plan", "--show-policy"]).stdout
    assert parse(shown).videos == parse(file.read_text()).videos
    longer = json.loads(runner.invoke(app, [*ASSUMED, "--json"]).stdout)
    assert {"older videos", "channels: uploads"} <= {r["what"] for r in longer["refreshes"]}


def test_half_an_assumption_is_none():
    refused = runner.invoke(app, ["plan", "--channels", "5"])
    assert isinstance(refused.exception, UsageError)
