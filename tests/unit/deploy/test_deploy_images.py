"""The images: what is in them, what is not, and how they run."""

import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from services.embedded.processes import READY_FILE
from tests.support.deploy import DOCKERFILE, PYPROJECT, ROOT, specs, stage


@pytest.mark.parametrize("name", ["crawl", "learning"])
def test_an_images_own_command_is_that_of_its_worker(name: str) -> None:
    command = stage(name).rpartition("\nCMD ")[2].replace("\\\n", "")
    assert yaml.safe_load(command) == ["python", *specs()[name].argv[1:]]


def test_images_say_where_readiness_is_written() -> None:
    assert f"{READY_FILE}=/tmp/ready" in DOCKERFILE


def test_the_base_image_is_a_pinned_python_that_the_project_admits() -> None:
    (base,) = re.findall(
        r"^ARG PYTHON_IMAGE=python:(\d+)\.(\d+)-slim-\w+$", DOCKERFILE, re.MULTILINE
    )
    assert tuple(map(int, base)) >= (3, 11)
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
    known = {name for _, name in stages}
    assert all(source == "${PYTHON_IMAGE}" or source in known for source, _ in stages)


@pytest.mark.parametrize("target", ["crawl", "learning", "emulator"])
def test_each_image_has_a_health_check_and_no_root(target: str) -> None:
    assert re.search(r"^HEALTHCHECK ", stage(target), re.MULTILINE)
    assert re.findall(r"^USER (\S+)$", stage(target), re.MULTILINE) == ["10001:10001"]


def test_images_install_extras_that_exist_at_the_locks_versions() -> None:
    commands = DOCKERFILE.replace("\\\n", " ")
    installs = re.findall(r"^RUN .*pip install .*$", commands, re.MULTILINE)
    of_dependencies = [command for command in installs if "--no-deps" not in command]
    assert all("--constraint requirements.lock" in command for command in of_dependencies)
    extras = {e for found in re.findall(r'"\.\[([\w,]+)\]"', commands) for e in found.split(",")}
    assert extras
    assert extras <= PYPROJECT["project"]["optional-dependencies"].keys()


def test_the_builder_gets_every_package_and_nothing_secret() -> None:
    admitted = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    packages = {
        p.rstrip("*") for p in PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    }
    assert packages <= set(admitted)
    copied = {
        source
        for sources in re.findall(r"^COPY (?!--from)(?:--\S+ )*(.+) \S+$", DOCKERFILE, re.MULTILINE)
        for source in sources.split()
    }
    assert copied == set(admitted)


def test_the_lock_pins_every_package_and_names_no_place() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line for line in lines if line and not line.lstrip().startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9._-]+==[\w.]+( ;.*)?", pin)] == []


IMPORTED = {
    "crawl": (
        *("workers.app", "workers.crawl", "workers.media", "workers.learning", "workers.scoring"),
        "workers.control",
        *(
            "workers.dispatcher",
            "workers.health",
            "celery.bin.worker",
            "kombu.transport.redis",
            "db.migrate",
        ),
        *("services.youtube.gateway", "services.storage", "services.cli.main"),
        "services.embedded.celery_process",
    ),
    "learning": (
        *("services.learning.thumbnails.training", "services.learning.thumbnails.scoring"),
        *("services.learning.thumbnails.comparison", "services.learning.report"),
        *("services.learning.speech.training", "services.learning.speech.scoring"),
        *(
            "services.media.audio.collecting",
            "services.api.__main__",
            "ml.thumbnails.features.extractor",
            "ml.thumbnails.features.text",
        ),
        *("yt_dlp", "torchaudio"),
    ),
    "emulator": ("services.emulator.app", "services.emulator.server", "services.cli.emulator"),
}
"""What the processes of an image import, now or with their first task."""


def distributions(requirements: list[str], extra: str = "") -> set[str]:
    """Return what pip installs for these requirements, by normal name."""
    found: set[str] = set()
    to_do = [(Requirement(requirement), extra) for requirement in requirements]
    seen: set[tuple[str, str]] = set()
    while to_do:
        requirement, of_extra = to_do.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": of_extra}):
            continue
        name = canonicalize_name(requirement.name)
        found.add(name)
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                needs = importlib.metadata.requires(name) or []
                to_do += [(Requirement(need), wanted) for need in needs]
    return found


@cache
def owners() -> Mapping[str, list[str]]:
    """Return what installed each module here; to find out takes seconds."""
    return importlib.metadata.packages_distributions()


@pytest.mark.parametrize("target", IMPORTED)
def test_an_image_has_all_that_its_processes_import(target: str) -> None:
    """This environment has everything; forbid what pip would not put into the image."""
    project = PYPROJECT["project"]
    optional = project["optional-dependencies"]
    installing = DOCKERFILE.partition(f" AS {target}-deps\n")[2].partition("\nFROM ")[0]
    (extras,) = re.findall(r'"\.\[([\w,]+)\]"', installing) or [""]
    named = [each for name in extras.split(",") if name for each in optional[name]]
    installed = distributions([*project["dependencies"], *named])
    absent = [
        module
        for module, names in owners().items()
        if module not in ("db", "migrations", "ml", "services", "workers")
        and not installed & {canonicalize_name(name) for name in names}
    ]
    script = f"""
import importlib, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in absent:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

absent = set({absent!r})
sys.meta_path.insert(0, Absent())
for module in {IMPORTED[target]!r}:
    importlib.import_module(module)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert target == "learning" or "torch" in absent
