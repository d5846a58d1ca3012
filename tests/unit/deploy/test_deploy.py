"""The Compose file runs what the embedded stack runs, safely, and its checks find mistakes."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from services.queue import celery_config
from services.settings import Settings
from tests.support.deploy import (
    COMPOSE,
    COMPOSE_FILE,
    DOCKERFILE,
    ENV_EXAMPLE,
    INSTALL,
    LASTING,
    ONCE,
    OURS,
    ROOT,
    SERVICES,
    WORKERS,
    interpolated,
    load,
    seconds,
    specs,
    variables,
)


def test_compose_runs_the_processes_that_the_embedded_stack_runs() -> None:
    assert {*WORKERS, "dispatcher", "api"} == specs().keys()
    assert {*WORKERS.values(), "dispatcher", "api"} < SERVICES.keys()


@pytest.mark.parametrize("name", [*WORKERS, "dispatcher", "api"])
def test_each_command_is_the_embedded_stacks(name: str) -> None:
    command = SERVICES[WORKERS.get(name, name)]["command"]
    ours = [interpolated(word, {}) for word in command]
    assert ours == ["python", *specs()[name].argv[1:]]


@pytest.mark.parametrize("name", [*WORKERS.values(), "dispatcher", "api", "migrate", "cli"])
def test_a_process_gets_the_parts_it_needs_and_no_setting_that_does_not_exist(name: str) -> None:
    environment = SERVICES[name]["environment"]
    needed = {"DATABASE_URL", "REDIS_URL", "STORAGE_URL"}
    given = {n.removeprefix("TUBEGRADER_") for n in environment if n.startswith("TUBEGRADER_")}
    known = {field.upper() for field in Settings.model_fields}
    assert needed <= given
    assert given <= known
    # Those that no image sets are handed on, so that .env can set every one but the tests' clock.
    # The owner's address is migrate's alone, and what lets in everybody the api's.
    assert known - given <= {"HOME", "LOG_FORMAT", "CLOCK_URL", "OWNER_URL", "API_ADMIN_TOKEN"}
    assert ("OWNER_URL" in given) is (name == "migrate")
    assert ("API_ADMIN_TOKEN" in given) is (name == "api")


def test_all_but_migrate_run_as_the_app_or_as_before_where_it_has_no_password() -> None:
    urls = ("TUBEGRADER_DATABASE_URL", "TUBEGRADER_ANALYST_URL", "TUBEGRADER_OWNER_URL")
    place = "postgres:5432/tubegrader"
    old = {"TUBEGRADER_POSTGRES_PASSWORD": "p"}
    new = old | {"TUBEGRADER_APP_PASSWORD": "a", "TUBEGRADER_ANALYST_PASSWORD": "n"}
    owner = f"postgresql+psycopg://tubegrader:p@{place}"
    environment = SERVICES["migrate"]["environment"]
    assert [interpolated(environment[url], old) for url in urls] == [owner, "", owner]
    assert [interpolated(environment[url], new) for url in urls] == [
        f"postgresql+psycopg://tubegrader_app:a@{place}",
        f"postgresql://tubegrader_analyst:n@{place}",
        owner,
    ]


def test_the_pages_in_a_container_are_reached_and_asked_how_they_are() -> None:
    api = SERVICES["api"]
    assert api["environment"]["TUBEGRADER_API_ADDRESS"] == "0.0.0.0"
    port = api["environment"]["TUBEGRADER_API_PORT"]
    assert api["ports"][0].endswith(f":{port}")
    assert f"http://127.0.0.1:{port}/readyz" in api["healthcheck"]["test"][-1]


def test_migrate_waits_for_the_database_alone() -> None:
    assert SERVICES["migrate"]["depends_on"].keys() == {"postgres"}


def test_what_a_training_has_done_outlives_its_container() -> None:
    learning = SERVICES["worker-learning"]
    assert learning["volumes"] == ["learning:/var/lib/tubegrader"]
    assert learning["environment"]["TUBEGRADER_HOME"] == "/var/lib/tubegrader"
    # The volume begins as the image's folder is, which therefore is the user's.
    assert re.search(
        r"install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/tubegrader",
        DOCKERFILE,
    )


def test_the_offline_youtube_runs_as_its_image_says() -> None:
    assert SERVICES["emulator"]["command"][:5] == [
        *("python", "-m", "services.emulator", "--host", "0.0.0.0"),
    ]


def test_every_variable_is_in_the_example_and_every_line_of_it_is_read() -> None:
    offered = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", ENV_EXAMPLE, re.MULTILINE))
    needs_no_line = {f"TUBEGRADER_{field.upper()}" for field in Settings.model_fields}
    assert variables() - offered - needs_no_line == {"TUBEGRADER_EMULATOR_EPOCH"}
    assert offered - variables() == {"COMPOSE_PROFILES"}


def test_no_secret_has_a_default() -> None:
    secret = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|TOKEN")
    required = re.findall(r"^([A-Z][A-Z0-9_]*)=$", ENV_EXAMPLE, re.MULTILINE)
    assert set(required) == {name for name in variables() if secret.search(name)}
    # Those that an older .env does not know.
    later = {
        "TUBEGRADER_APP_PASSWORD",
        "TUBEGRADER_ANALYST_PASSWORD",
        "TUBEGRADER_API_ADMIN_TOKEN",
    }
    for name in set(required) - later:
        with pytest.raises(KeyError, match=name):
            interpolated(COMPOSE_FILE.read_text(), {r: "x" for r in required if r != name})
    interpolated(COMPOSE_FILE.read_text(), dict.fromkeys(required, "x"))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_documented_line_makes_a_private_env_of_different_secrets(tmp_path: Path) -> None:
    (line,) = re.findall(r"^.*deploy/\.env\.example > \.env\)$", INSTALL, re.MULTILINE)
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy/.env.example").write_text(ENV_EXAMPLE)
    subprocess.run(["sh", "-euc", line], cwd=tmp_path, check=True, capture_output=True)
    made = tmp_path / ".env"
    secrets = dict(re.findall(r"^([A-Z][A-Z0-9_]*)=([0-9a-f]+)$", made.read_text(), re.MULTILINE))
    assert secrets.keys() == set(re.findall(r"^([A-Z0-9_]+)=$", ENV_EXAMPLE, re.MULTILINE))
    assert len(set(secrets.values())) == len(secrets)
    assert all(len(secret) >= 32 for secret in secrets.values())
    assert made.stat().st_mode & 0o077 == 0
    comments = [line for line in ENV_EXAMPLE.splitlines() if line.startswith("#")]
    assert [line for line in made.read_text().splitlines() if line.startswith("#")] == comments
    environment = SERVICES["migrate"]["environment"]
    for url, role in (("OWNER", "POSTGRES"), ("DATABASE", "APP"), ("ANALYST", "ANALYST")):
        address = interpolated(environment[f"TUBEGRADER_{url}_URL"], secrets)
        assert f":{secrets[f'TUBEGRADER_{role}_PASSWORD']}@" in address


@pytest.mark.parametrize("name", LASTING)
def test_what_lasts_is_started_again_and_its_health_is_checked(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


@pytest.mark.parametrize("name", sorted(ONCE))
def test_what_runs_once_is_not_started_again_for_ever(name: str) -> None:
    assert SERVICES[name]["restart"] in ("no", "on-failure:3")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_containers_are_hardened_limited_and_unreachable_from_outside(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["deploy"]["resources"]["limits"].keys() == {"memory", "pids"}
    # The pages are for this machine, until somebody puts a proxy before them.
    published = {
        "api": ["127.0.0.1:${TUBEGRADER_API_PORT:-8765}:8765"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    assert service.get("ports") == published.get(name)
    # Ours name their user in the image.
    user = service.get("user", "10001:10001" if name in OURS else None)
    if name == "objects-owner":
        assert (user, service["cap_add"]) == ("0:0", ["CHOWN"])
    elif name != "bucket":  # whose image has a user of its own
        assert user not in (None, "root", "0", "0:0")
        assert "cap_add" not in service


@pytest.mark.parametrize("name", [*WORKERS.values(), "dispatcher", "api"])
def test_nothing_works_before_the_schema_and_the_bucket_are_there(name: str) -> None:
    needed = {n: how["condition"] for n, how in SERVICES[name]["depends_on"].items()}
    assert needed == {
        "postgres": "service_healthy",
        "redis": "service_healthy",
        "objects": "service_healthy",
        "bucket": "service_completed_successfully",
        "migrate": "service_completed_successfully",
    }


def test_workers_have_time_for_a_soft_shutdown() -> None:
    soft = celery_config("redis://")["worker_soft_shutdown_timeout"]
    for name in WORKERS.values():
        assert seconds(SERVICES[name]["stop_grace_period"]) >= 2 * soft


def test_only_what_speaks_to_youtube_has_a_way_out() -> None:
    assert COMPOSE["networks"]["inside"]["internal"] is True
    with_way_out = {n for n, s in SERVICES.items() if "outside" in s.get("networks", ())}
    ours = {"worker-crawl", "worker-media", "dispatcher", "api", "cli"}
    # No port can be published of the network without a way out.
    assert with_way_out == ours | {"prometheus", "grafana"}


def test_dispatchers_can_be_scaled() -> None:
    assert not any("container_name" in service for service in SERVICES.values())


def test_images_of_others_are_pinned_to_a_version() -> None:
    for name in SERVICES.keys() - set(OURS):
        assert re.search(r":v?\d+[\w.-]*$", SERVICES[name]["image"]), name


def test_the_check_of_make_check_passes_and_says_what_was_checked() -> None:
    done = subprocess.run(
        [ROOT / "deploy/check-compose"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"structure of {len(SERVICES)} services checked" in done.stdout


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"command": ["${UNCLOSED"]}, "a $ that is neither"),
        ({"comand": ["x"]}, "nothing is known of comand"),
        ({"image": None}, None),
        ({"depends_on": {"nobody": {"condition": "service_healthy"}}}, "which is no service"),
        (
            {"depends_on": {"dispatcher": {"condition": "service_finished"}}},
            "there is no condition",
        ),
        ({"depends_on": {"migrate": {"condition": "service_healthy"}}}, "which has no check"),
        (
            {"depends_on": {"redis": {"condition": "service_completed_successfully"}}},
            "always started again",
        ),
        ({"networks": ["elsewhere"]}, "there is no network elsewhere"),
        ({"volumes": ["nothing:/data"]}, "there is no volume nothing"),
        ({"stop_grace_period": "soon"}, "soon is no time"),
        (
            {"build": {"context": ".", "dockerfile": "deploy/Dockerfile", "target": "x"}},
            "no target",
        ),
    ],
)
def test_the_check_finds_what_is_wrong(change: dict[str, Any], found: str | None) -> None:
    check = load(ROOT / "deploy/check_compose.py")
    assert list(check.problems(COMPOSE)) == []
    changed = {
        **COMPOSE,
        "services": {**SERVICES, "dispatcher": {**SERVICES["dispatcher"], **change}},
    }
    problems = list(check.problems(changed))
    assert (found is None and problems == []) or any(str(found) in p for p in problems), problems
