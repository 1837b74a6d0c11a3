"""Everything that can be set, read once by each main function and passed on; never read at import.

Environment variables carry the prefix COUNTERSIGN_: `database_url` is COUNTERSIGN_DATABASE_URL.
Sizes are counts, times are seconds. docs/settings.md lists them all.
"""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?")
_STORE = re.compile(r"file:///.|s3://.")
_ADDRESS = re.compile(r"(?:[^<>@\r\n]*<{0}>|{0})".format(r"[!-;=?A-~]+@[A-Za-z0-9.-]+"))


class SettingsInvalid(Exception):
    """The environment holds settings that cannot be used; the text names each and what is wrong."""


class Settings(BaseSettings):
    """One process's settings. The defaults are those of a machine where `countersign dev` runs."""

    model_config = SettingsConfigDict(
        env_prefix="COUNTERSIGN_", frozen=True, extra="ignore", env_ignore_empty=True
    )

    environment: Literal["development", "production"] = "development"
    data_dir: Path = Path(".countersign")

    database_url: str = "postgresql://countersign_app@127.0.0.1:5432/countersign"
    migrate_database_url: str | None = None
    database_pool_size: int = Field(10, ge=1, le=1000)

    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"
    temporal_ui_url: str | None = None

    api_host: str = "127.0.0.1"
    api_port: int = Field(8080, ge=0, le=65535)
    public_url: str | None = None
    cors_origins: str = ""
    rate_limit: int = Field(3000, ge=0, le=1_000_000)
    service_rate_limit: int = Field(12_000, ge=0, le=1_000_000)
    refused_rate_limit: int = Field(60, ge=0, le=1_000_000)
    trusted_proxies: str = "127.0.0.1"

    smtp_url: SecretStr | None = None
    smtp_ca_file: Path | None = None
    mail_from: str | None = None
    slack_token: SecretStr | None = None
    slack_signing_secret: SecretStr | None = None
    slack_url: str = "https://slack.com/api/"

    oidc_url: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret_file: Path | None = None
    oidc_scope: str = "openid profile email"
    oidc_person_claim: str = "sub"
    oidc_roles_claim: str = "roles"

    jwt_issuer: str | None = None
    jwt_audience: str = "countersign"
    jwt_jwks_url: str | None = None
    jwt_public_key_file: Path | None = None
    dev_issuer_key_file: Path | None = None

    directory_url: str | None = None
    directory_mapping: Path | None = None
    directory_token: SecretStr | None = None
    directory_token_file: Path | None = None
    directory_sync_seconds: int = Field(300, ge=10, le=86_400)
    directory_patience_seconds: int = Field(86_400, ge=60)
    directory_timeout_seconds: float = Field(30, gt=0, le=600)

    region_key_file: Path | None = None
    replay_days: int = Field(3650, ge=7)
    seal_key_file: Path | None = None
    seal_public_key_file: Path | None = None
    seal_seconds: float = Field(1, gt=0, le=3600)
    seal_witnesses: str = ""
    seal_witness_seconds: float = Field(10, gt=0, le=86_400)
    jobs: str = ""
    connections: Path | None = None

    audit_store: str | None = None
    audit_hot_days: int = Field(90, ge=1, le=36_500)
    audit_retention_years: int = Field(7, ge=1, le=1000)

    feed_days: int = Field(30, ge=1, le=3650)
    webhook_allow: str = ""
    kafka_brokers: str | None = None
    kafka_topic: str = Field("approvals", pattern=r"^[A-Za-z0-9._-]{1,249}$")
    kafka_config: Path | None = None

    worker_workflow_slots: int = Field(100, ge=2, le=10_000)
    worker_activity_slots: int = Field(50, ge=1, le=10_000)
    worker_job_slots: int = Field(50, ge=1, le=10_000)
    worker_cached_workflows: int = Field(5000, ge=0, le=1_000_000)
    worker_graceful_shutdown: int = Field(10, ge=0, le=600)

    metrics_host: str = "127.0.0.1"
    worker_metrics_port: int | None = Field(None, ge=0, le=65535)
    relay_metrics_port: int | None = Field(None, ge=0, le=65535)

    otel_endpoint: str | None = None

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.jwt_jwks_url and self.jwt_public_key_file:
            raise ValueError("set jwt_jwks_url or jwt_public_key_file, not both")
        if self.jwt_jwks_url and not self.jwt_jwks_url.startswith("https://") and self.production:
            raise ValueError("jwt_jwks_url must be https in production")
        if (self.jwt_jwks_url or self.jwt_public_key_file) and not self.jwt_issuer:
            raise ValueError("jwt_issuer must be set beside the key that proves it")
        self._web_fits_together()
        for origin in self.shared_with:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"cors_origins: {origin!r} is not an origin, such as https://app.example.org"
                )
        self._directory_fits_together()
        try:
            _ = self.webhook_networks
        except ValueError as error:
            raise ValueError(f"webhook_allow is networks with commas between: {error}") from None
        self._messages_fit_together()
        self._telemetry_fits_together()
        if self.audit_store is not None and not _STORE.match(self.audit_store):
            raise ValueError("audit_store must be file:///folder or s3://bucket/prefix")
        return self

    def _web_fits_together(self) -> None:
        for name in ("public_url", "oidc_url"):
            given: str | None = getattr(self, name)
            if given is None:
                continue
            where = urlsplit(given)
            if where.scheme not in ("http", "https") or not where.hostname or not _has_port(where):
                raise ValueError(f"{name} must be an http or https URL")
            if where.scheme == "http" and self.production and not is_loopback(where.hostname):
                raise ValueError(f"{name} must be https in production")
        if self.public_url and urlsplit(self.public_url).path not in ("", "/"):
            raise ValueError("public_url has no path: the inbox is served at the top of its host")
        if self.oidc_url and not (self.oidc_client_id and self.public_url):
            raise ValueError("oidc_client_id and public_url must be set beside oidc_url")

    def _messages_fit_together(self) -> None:
        if self.smtp_url is not None:
            where = urlsplit(self.smtp_url.get_secret_value())
            if where.scheme not in ("smtp", "smtps") or not where.hostname or not _has_port(where):
                raise ValueError("smtp_url must be smtp://host:port or smtps://host:port")
            if self.mail_from is None:
                raise ValueError("mail_from must be set beside smtp_url")
        elif self.smtp_ca_file is not None:
            raise ValueError("smtp_url must be set beside smtp_ca_file")
        if self.mail_from is not None and not _ADDRESS.fullmatch(self.mail_from):
            raise ValueError(
                "mail_from must be an address, such as Approvals <no-reply@example.org>"
            )
        if self.slack_signing_secret and not self.slack_token:
            raise ValueError("slack_token must be set beside slack_signing_secret")
        where = urlsplit(self.slack_url)
        if where.scheme not in ("http", "https") or not where.hostname or not _has_port(where):
            raise ValueError("slack_url must be an http or https URL")
        if where.scheme == "http" and self.production and not is_loopback(where.hostname):
            raise ValueError("slack_url must be https in production: its token goes there")
        if self.production and (self.smtp_url or self.slack_token) and not self.public_url:
            raise ValueError(
                "public_url must be set beside smtp_url and slack_token: messages link there"
            )

    def _telemetry_fits_together(self) -> None:
        if self.otel_endpoint is None:
            return
        where = urlsplit(self.otel_endpoint)
        if where.scheme not in ("http", "https") or not where.hostname or not _has_port(where):
            raise ValueError("otel_endpoint must be a URL, such as http://127.0.0.1:4318")
        if where.username or where.password or where.query or where.fragment:
            raise ValueError(
                "otel_endpoint is a base URL alone: what is secret goes into"
                " OTEL_EXPORTER_OTLP_HEADERS"
            )

    def _directory_fits_together(self) -> None:
        if self.directory_url is None:
            return
        where = urlsplit(self.directory_url)
        if where.scheme not in ("http", "https") or not where.hostname or not _has_port(where):
            raise ValueError("directory_url must be an http or https URL")
        if where.scheme == "http" and self.production and not is_loopback(where.hostname):
            raise ValueError("directory_url must be https in production: its token goes there")
        if where.username or where.password or where.query or where.fragment:
            raise ValueError(
                "directory_url is a base URL alone: what is secret goes into directory_token,"
                " parameters into the mapping file"
            )
        if self.directory_mapping is None:
            raise ValueError("directory_mapping must be set beside directory_url")
        if self.directory_token and self.directory_token_file:
            raise ValueError("set directory_token or directory_token_file, not both")

    @property
    def production(self) -> bool:
        return self.environment == "production"

    @property
    def pages_url(self) -> str:
        """Where people reach the pages: links in messages lead there."""
        return self.public_url or f"http://127.0.0.1:{self.api_port}"

    @property
    def migrations_url(self) -> str:
        """The database as the migrator connects to it."""
        return self.migrate_database_url or self.database_url

    @property
    def dev_issuer_key(self) -> Path:
        """Private key (PEM, PKCS8) of the development issuer."""
        return self.dev_issuer_key_file or self.data_dir / "dev_issuer.pem"

    @property
    def dev_issuer_public_key(self) -> Path:
        return self.dev_issuer_key.with_name(self.dev_issuer_key.stem + ".pub.pem")

    @property
    def dev_issuer_allowed(self) -> bool:
        """Tokens of the development issuer count only on one's own machine."""
        return not self.production and is_loopback(self.api_host)

    @property
    def shared_with(self) -> tuple[str, ...]:
        """The origins whose pages may call the API from a browser."""
        return tuple(part.strip() for part in self.cors_origins.split(",") if part.strip())

    @property
    def secure_cookies(self) -> bool:
        """Whether browsers reach us by https alone."""
        return (self.public_url or "").startswith("https://")

    @property
    def webhook_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Networks that webhooks may go to although they are not of the public Internet."""
        return tuple(
            ip_network(part.strip()) for part in self.webhook_allow.split(",") if part.strip()
        )

    @property
    def feed_kept_days(self) -> int:
        """How long what was fed is kept: what is told is read where the audit is hot."""
        return min(self.feed_days, self.audit_hot_days)

    @property
    def audit_cache(self) -> Path:
        """Where files of the cold tier are kept that were fetched to be read."""
        return self.data_dir / "audit_cache"

    @property
    def region_key(self) -> Path:
        """The keys that wrap the data keys of requests, a line each, the one to wrap with first."""
        return self.region_key_file or self.data_dir / "region.key"

    @property
    def seal_key(self) -> Path:
        """The secret keys that sign checkpoints of the audit tree, a line each."""
        return self.seal_key_file or self.data_dir / "seal.key"

    @property
    def seal_public_key(self) -> Path:
        """The public keys that checkpoints are, and were, signed with, a line each."""
        return self.seal_public_key_file or self.seal_key.with_suffix(".pub")


def is_loopback(host: str) -> bool:
    """Whether a bind to `host` can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _has_port(url: SplitResult) -> bool:
    """Whether the port is one, or is not said."""
    try:
        return url.port is None or url.port > 0
    except ValueError:
        return False


def load() -> Settings:
    """The settings of this process. SettingsInvalid lists everything that is wrong, by variable."""
    try:
        return Settings()
    except ValidationError as error:
        problems = [
            f"{_variable(problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_url=False, include_input=False)
        ]
        raise SettingsInvalid("\n".join(problems)) from None


def _variable(location: tuple[int | str, ...]) -> str:
    return f"COUNTERSIGN_{str(location[0]).upper()}" if location else "settings"
