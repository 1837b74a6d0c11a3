"""Settings: what is refused, and how it is said."""

from pathlib import Path

import pytest

import settings


def test_defaults_are_those_of_one_machine() -> None:
    loaded = settings.load()
    assert loaded.environment == "development"
    assert loaded.api_host == "127.0.0.1"
    assert loaded.migrations_url == loaded.database_url
    assert loaded.dev_issuer_allowed


def test_the_environment_is_read_and_empty_means_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_API_PORT", "9000")
    monkeypatch.setenv("COUNTERSIGN_JWT_ISSUER", "")
    monkeypatch.setenv("COUNTERSIGN_DATA_DIR", "/srv/countersign")
    loaded = settings.load()
    assert loaded.api_port == 9000
    assert loaded.jwt_issuer is None
    assert loaded.dev_issuer_key == Path("/srv/countersign/dev_issuer.pem")
    assert loaded.dev_issuer_public_key == Path("/srv/countersign/dev_issuer.pub.pem")


def test_everything_wrong_is_told_at_once_by_variable_and_without_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COUNTERSIGN_API_PORT", "hunter2")
    monkeypatch.setenv("COUNTERSIGN_LOG_LEVEL", "loud")
    with pytest.raises(settings.SettingsInvalid) as caught:
        settings.load()
    text = str(caught.value)
    assert "COUNTERSIGN_API_PORT: " in text
    assert "COUNTERSIGN_LOG_LEVEL: " in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"JWT_ISSUER": "i", "JWT_JWKS_URL": "https://k", "JWT_PUBLIC_KEY_FILE": "k"},
            "not both",
        ),
        ({"JWT_JWKS_URL": "https://k"}, "jwt_issuer must be set"),
        (
            {"ENVIRONMENT": "production", "JWT_ISSUER": "i", "JWT_JWKS_URL": "http://k"},
            "must be https",
        ),
        ({"OTEL_ENDPOINT": "collector:4318"}, "otel_endpoint must be a URL"),
        ({"OTEL_ENDPOINT": "https://c.example?key=k"}, "OTEL_EXPORTER_OTLP_HEADERS"),
        ({"CORS_ORIGINS": "https://a.example, *"}, "'*' is not an origin"),
        ({"CORS_ORIGINS": "https://a.example/app"}, "is not an origin"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"COUNTERSIGN_{name}", value)
    with pytest.raises(settings.SettingsInvalid, match=message):
        settings.load()


HR = {"DIRECTORY_URL": "https://hr.example.org/api", "DIRECTORY_MAPPING": "hr.yaml"}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"DIRECTORY_URL": "https://hr.example.org"}, "directory_mapping must be set"),
        (HR | {"DIRECTORY_URL": "hr.example.org"}, "http or https URL"),
        (HR | {"DIRECTORY_URL": "https://u:hunter2@hr.example.org"}, "base URL alone"),
        (HR | {"DIRECTORY_URL": "https://hr.example.org?key=hunter2"}, "base URL alone"),
        (HR | {"DIRECTORY_URL": "https://hr.example.org:hunter2"}, "http or https URL"),
        (
            HR | {"DIRECTORY_URL": "http://hr.example.org", "ENVIRONMENT": "production"},
            "https in production",
        ),
        (HR | {"DIRECTORY_TOKEN": "hunter2", "DIRECTORY_TOKEN_FILE": "t"}, "not both"),
        (HR | {"DIRECTORY_SYNC_SECONDS": "1"}, "greater than or equal to 10"),
    ],
)
def test_what_of_the_hr_system_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"COUNTERSIGN_{name}", value)
    with pytest.raises(settings.SettingsInvalid, match=message) as caught:
        settings.load()
    assert "hunter2" not in str(caught.value)


MAIL = {"SMTP_URL": "smtp://bob:hunter2@mail.example.org", "MAIL_FROM": "Approvals <a@example.org>"}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"SMTP_URL": "smtp://mail.example.org"}, "mail_from must be set"),
        ({"SMTP_CA_FILE": "ca.pem"}, "smtp_url must be set beside smtp_ca_file"),
        (MAIL | {"SMTP_URL": "mail.example.org:hunter2"}, "smtp_url must be smtp://"),
        (MAIL | {"SMTP_URL": "smtp://mail.example.org:hunter2"}, "smtp_url must be smtp://"),
        (MAIL | {"MAIL_FROM": "Approvals"}, "mail_from must be an address"),
        (
            MAIL | {"MAIL_FROM": "a@example.org\nBcc: eve@example.org"},
            "mail_from must be an address",
        ),
        (MAIL | {"ENVIRONMENT": "production"}, "public_url must be set"),
        ({"SLACK_SIGNING_SECRET": "hunter2"}, "slack_token must be set"),
        ({"SLACK_URL": "slack.example.org"}, "slack_url must be an http or https URL"),
        (
            {"SLACK_URL": "http://slack.example.org", "ENVIRONMENT": "production"},
            "slack_url must be https in production",
        ),
    ],
)
def test_what_of_mail_and_slack_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"COUNTERSIGN_{name}", value)
    with pytest.raises(settings.SettingsInvalid, match=message) as caught:
        settings.load()
    assert "hunter2" not in str(caught.value)


def test_what_mail_and_slack_need_is_taken_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        MAIL | {"SLACK_TOKEN": "hunter2", "SLACK_SIGNING_SECRET": "hunter2"}
    ).items():
        monkeypatch.setenv(f"COUNTERSIGN_{name}", value)
    loaded = settings.load()
    assert "hunter2" not in repr(loaded)
    assert loaded.pages_url == "http://127.0.0.1:8080"


def test_the_hr_systems_token_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (HR | {"DIRECTORY_TOKEN": "hunter2"}).items():
        monkeypatch.setenv(f"COUNTERSIGN_{name}", value)
    assert "hunter2" not in repr(settings.load())


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - this is the bind that must not count as loopback
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.org", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert settings.is_loopback(host) is expected


def test_the_development_issuer_stays_on_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_API_HOST", "10.0.0.1")
    assert not settings.load().dev_issuer_allowed
    monkeypatch.setenv("COUNTERSIGN_API_HOST", "127.0.0.1")
    assert settings.load().dev_issuer_allowed
    monkeypatch.setenv("COUNTERSIGN_ENVIRONMENT", "production")
    assert not settings.load().dev_issuer_allowed
