"""ffmpeg and the JavaScript runtime: found, or said what to install."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest

from services.errors import BlockedError, UsageError
from services.youtube.audio import tools


def program(folder: Path, name: str, says: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def path(tmp_path, monkeypatch) -> Iterator[Path]:
    """Make an empty folder the whole PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    # Asked once a process: what other tests found is forgotten, and what these find.
    tools._looked_up.cache_clear()
    yield tmp_path
    tools._looked_up.cache_clear()


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """Have yt-dlp's scripts installed, as far as can be told without running them."""
    folder = tmp_path / "site"
    (folder / "yt_dlp_ejs").mkdir(parents=True)
    (folder / "yt_dlp_ejs/__init__.py").touch()
    monkeypatch.syspath_prepend(str(folder))


def test_the_system_s_ffmpeg_goes_before_the_wheel_s(path):
    assert tools.ffmpeg_path() == imageio_ffmpeg.get_ffmpeg_exe()
    own = program(path, "ffmpeg", "ffmpeg version 7")
    assert tools.ffmpeg_path() == str(own) == shutil.which("ffmpeg")


def test_no_ffmpeg_at_all(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert tools.ffmpeg_path() is None


def test_none_is_found(path):
    with pytest.raises(BlockedError, match="none was found") as missing:
        tools.javascript_runtime()
    assert missing.value.reason == "noJavaScriptRuntime"
    assert "deno" in str(missing.value.hint)


def test_one_that_is_too_old_is_named(path):
    program(path, "node", "v20.20.2")
    with pytest.raises(BlockedError, match=r"node 20\.20\.2 is too old"):
        tools.javascript_runtime()


def test_the_first_that_is_new_enough(path, scripts):
    program(path, "node", "v22.3.0")
    program(path, "bun", "1.0.0")
    found = tools.javascript_runtime()
    assert (found.name, found.version) == ("node", "22.3.0")
    assert found.as_option() == {"node": {"path": str(path / "node")}}


def test_a_setting_names_another(path, scripts):
    program(path, "node", "v22.3.0")
    other = program(path, "my-node", "v24.0.0")
    assert tools.javascript_runtime(f"node:{other}").path == str(other)
    with pytest.raises(UsageError, match="no JavaScript runtime"):
        tools.javascript_runtime("python")


def test_a_runtime_without_yt_dlp_s_scripts_does_not_do(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yt_dlp_ejs", None)
    program(path, "node", "v22.3.0")
    with pytest.raises(BlockedError, match="yt-dlp-ejs"):
        tools.javascript_runtime()
