"""docker-compose.yml: our settings by their names, named volumes, loopback ports, health checks."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract import names
from settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
JOBS = {"temporal-schema", "temporal-namespace", "migrate"}
OURS = {"migrate", "api", "worker", "relay"}
MESSAGES = {
    "SMTP_URL",
    "SMTP_CA_FILE",
    "MAIL_FROM",
    "SLACK_TOKEN",
    "SLACK_SIGNING_SECRET",
    "WEBHOOK_ALLOW",
}
KAFKA = {"KAFKA_BROKERS", "KAFKA_TOPIC", "KAFKA_CONFIG"}
TASKS = {"JOBS", "CONNECTIONS"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_parts_are_given_settings_that_exist(name: str) -> None:
    known = {f"COUNTERSIGN_{field.upper()}" for field in Settings.model_fields}
    given = {key for key in SERVICES[name]["environment"] if key.startswith("COUNTERSIGN_")}
    assert given
    assert given - known == set()


@pytest.mark.parametrize(
    ("name", "read"), [("api", MESSAGES), ("worker", TASKS), ("relay", MESSAGES | KAFKA)]
)
def test_parts_are_given_what_they_read_and_no_secrets_of_others(name: str, read: set[str]) -> None:
    given = {key.removeprefix("COUNTERSIGN_") for key in SERVICES[name]["environment"]}
    assert given & (MESSAGES | KAFKA | TASKS) == read


@pytest.mark.parametrize("name", ["api", "worker", "relay"])
def test_parts_that_work_are_told_where_spans_go(name: str) -> None:
    assert "COUNTERSIGN_OTEL_ENDPOINT" in SERVICES[name]["environment"]


def test_the_image_has_every_module_and_git() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packaging = wanted["tool"]["setuptools"]
    modules = {f"{name}.py" for name in packaging["py-modules"]}
    packages = {name.removesuffix("*") for name in packaging["packages"]["find"]["include"]}
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = {word for line in lines if line.startswith("COPY ") for word in line.split()[1:]}
    assert modules | packages <= copied
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    assert copied - {"--from=build", "/app", "./"} <= sent
    assert any(
        "apt-get install" in line and line.split("&&")[1].split()[-1] == "git" for line in lines
    )


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - JOBS))
def test_what_runs_is_restarted_and_asked_for_its_health(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["healthcheck"]["test"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_loopback_and_volumes_have_names(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:")
    for volume in SERVICES[name].get("volumes", []):
        source, target = volume.split(":")[:2]
        assert target.startswith("/")
        assert source in COMPOSE["volumes"] or (ROOT / source).exists()


def test_what_is_waited_for_can_be_waited_for() -> None:
    for service in SERVICES.values():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_completed_successfully":
                assert other in JOBS
            else:
                assert "healthcheck" in SERVICES[other]


def test_every_variable_is_in_the_example() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    used = set(re.findall(r"\$\{([A-Z_]+)", text))
    example = (ROOT / "deploy" / "env.example").read_text()
    assert used == set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))


def test_the_namespace_gets_every_search_attribute() -> None:
    script = (ROOT / "deploy" / "temporal-namespace.sh").read_text()
    line = re.search(r"for name in (.*); do", script)
    assert line is not None
    assert line[1].split() == list(names.SEARCH_ATTRIBUTES)


def test_history_shards() -> None:
    assert SERVICES["temporal"]["environment"]["NUM_HISTORY_SHARDS"] == "512"
