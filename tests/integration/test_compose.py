"""What is deployed, looked at by the tools of its kinds, and started for real.

All of it needs programs that a developer's machine may lack; SCENERANK_TEST_REQUIRE=compose makes that a failure. The
stack is started by a program that SCENERANK_COMPOSE_SMOKE names; docker/ci/smoke.sh tells what it has to do.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from service.settings import ENV_PREFIX, Settings
from tests.conftest import skip_or_fail

ROOT: Final = Path(__file__).parents[2]
SMOKE: Final = ROOT.parent / "shared" / "tools" / "compose-smoke" / "compose-smoke.sh"
GPU: Final = ("-f", "docker-compose.yml", "-f", "docker/compose.gpu.yml")
PROFILES: Final = ("", "monitoring", "train", "scale", "tools", "*")
NOT_SETTINGS: Final = {"SCENERANK_DEMO"}  # of docker/first_start.py


def program(name: str, *places: Path) -> str:
    """Where a program is."""
    found = shutil.which(name) or shutil.which(f"/usr/sbin/{name}")
    found = found or next((str(place / name) for place in places if (place / name).exists()), None)
    if found is None:
        skip_or_fail("compose", f"{name} is not installed")
    return found


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    return subprocess.run(
        command, cwd=ROOT, env=inherited | environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the engine's images go; SCENERANK_COMPOSE_CACHE names a place to keep them."""
    named = os.environ.get("SCENERANK_COMPOSE_CACHE")
    return Path(named) if named else tmp_path_factory.mktemp("compose")


@pytest.fixture(scope="session")
def smoke(cache: Path) -> Iterator[str]:
    """The log of the stack's start, checks, restart and end."""
    tool = Path(os.environ.get("SCENERANK_COMPOSE_SMOKE", SMOKE))
    if not tool.exists() or os.getuid() != 0:
        skip_or_fail("compose", "there is no SCENERANK_COMPOSE_SMOKE to start the stack with, or not the right to")
    for name in ("dockerd", "debootstrap", "node"):
        program(name)
    log = cache / "smoke.log"
    cache.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        command = [str(ROOT / "docker" / "ci" / "smoke.sh"), str(tool), str(cache)]
        status = subprocess.run(command, stdout=file, stderr=file, timeout=1800, check=False).returncode
    text = log.read_text(errors="replace")
    assert status == 0, text[-5000:]
    yield text
    if "SCENERANK_COMPOSE_CACHE" not in os.environ:
        shutil.rmtree(cache, ignore_errors=True)


@pytest.fixture(scope="session")
def compose(smoke: str, cache: Path) -> str:
    """Compose's program, the machine's own or the one that the smoke test came with."""
    return program("docker-compose", cache / "cfg" / "cli-plugins")


@pytest.fixture
def config(compose: str) -> dict[str, Any]:
    """All of the stack as compose understands it."""
    done = run(compose, "--profile", "*", "config", "--format", "json", SCENERANK_SECRETS="secrets")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_the_stack_starts_answers_and_loses_nothing(smoke: str) -> None:
    assert "PASS" in smoke
    assert "restored into empty volumes: the same answers" in smoke


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("files", [(), GPU])
def test_every_profile_is_understood(compose: str, profile: str, files: tuple[str, ...]) -> None:
    options = [*files, *(["--profile", profile] if profile else [])]
    done = run(compose, *options, "config", "--quiet", SCENERANK_SECRETS="secrets")
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_starts_without_an_admin_key(compose: str) -> None:
    done = run(compose, "config", "--quiet")
    assert done.returncode != 0
    assert "docker/secrets.sh" in done.stderr


def test_our_containers_may_do_little(config: dict[str, Any]) -> None:
    for name in ("migrate", "first-start", "api", "scenerank", "training", "nginx"):
        service = config["services"][name]
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    for name, service in config["services"].items():
        assert not service.get("privileged"), name
        assert name == "nginx" or all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", [])), name


def test_the_service_is_set_only_by_settings_that_there_are(config: dict[str, Any]) -> None:
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    asked = {name for name in config["services"]["api"]["environment"] if name.startswith(ENV_PREFIX)}
    assert asked - known == NOT_SETTINGS
    for secret in config["services"]["api"]["secrets"]:
        assert secret["source"].upper() in known


def test_a_replica_gets_the_time_that_it_needs_to_end(config: dict[str, Any]) -> None:
    api = config["services"]["api"]
    assert api["stop_grace_period"] == "30s"
    assert float(api["environment"]["SCENERANK_DRAIN_TIME"]) + 10 < 30  # what service/server.py waits for at most


def test_the_dockerfile_has_nothing_to_complain_of() -> None:
    done = run(program("hadolint", ROOT / ".venv" / "bin"), "docker/Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_nginx_takes_its_configuration() -> None:
    done = run(program("nginx"), "-t", "-c", str(ROOT / "docker" / "nginx.conf"))
    assert done.returncode == 0, done.stderr


def test_prometheus_takes_its_configuration_and_the_alerts_come_when_they_should() -> None:
    promtool, monitoring = program("promtool"), ROOT / "docker" / "monitoring"
    for arguments in (
        ("check", "config", str(monitoring / "prometheus.yml")),
        ("check", "rules", str(monitoring / "alerts.yml")),
        ("test", "rules", str(monitoring / "alerts_test.yml")),
    ):
        done = run(promtool, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_finds_its_dashboard() -> None:
    dashboard = json.loads((ROOT / "docker" / "monitoring" / "grafana" / "scenerank.json").read_text())
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert all(
        target["datasource"]["uid"] == "prometheus" for panel in dashboard["panels"] for target in panel["targets"]
    )


def test_secrets_are_made_once(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    first = run("docker/secrets.sh", str(secrets))
    assert first.returncode == 0, first.stderr
    made = {path.name: path.read_text() for path in secrets.iterdir()}
    assert set(made) == {"admin_keys", "database_url", "grafana_password", "minio_password", "postgres_password"}
    assert len(made["admin_keys"]) == 48
    assert made["postgres_password"] in made["database_url"]
    assert secrets.stat().st_mode & 0o077 == 0
    run("docker/secrets.sh", str(secrets))
    assert {path.name: path.read_text() for path in secrets.iterdir()} == made
