"""Settings: read once from the environment, prefix RATER_. A wrong one is one clear line."""

import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

import schemas
from streams.base.errors import in_words
from streams.base.faults import PATTERN as FAULT_PATTERN
from streams.base.words import did_you_mean

PositiveInt = Annotated[int, Field(gt=0)]
PositiveSeconds = Annotated[float, Field(gt=0)]


def _by_comma(value: object) -> object:
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


class Settings(BaseSettings):
    """What a process is told. Every wait, buffer and retry has its bound here."""

    model_config = SettingsConfigDict(env_prefix="RATER_", extra="ignore", env_ignore_empty=True)

    # Kafka
    kafka_bootstrap: str = Field("127.0.0.1:9092", description="host:port of brokers, by comma")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    kafka_sasl_username: str = Field("", description="the SASL user")
    kafka_sasl_password_file: Path | None = Field(None, description="file with the SASL password")
    kafka_ca_file: Path | None = Field(None, description="CA certificates (PEM) for TLS")
    kafka_cert_file: Path | None = Field(None, description="client certificate (PEM) for TLS")
    kafka_key_file: Path | None = Field(None, description="client key (PEM) for TLS")
    group: str = Field("rater", description="consumer group and Faust app id")
    topic_prefix: str = Field("", description="put before each topic's name")
    topic_partitions: PositiveInt = Field(8, description="partitions of each topic at creation")
    topic_replication: PositiveInt = Field(1, description="replicas of each topic at creation")
    kafka_create_time: bool = Field(
        False, description="take topics that have their producers' timestamps"
    )
    session_timeout_s: PositiveSeconds = Field(8, description="a silent worker loses its work")
    group_instance_id: str = Field(
        "",
        pattern="^[a-zA-Z0-9._-]{0,200}$",
        description="a worker's own name, if it keeps one: back within its session it stops nobody",
    )
    fetch_max_bytes: PositiveInt = Field(4_194_304, description="of one partition in one fetch")

    # ClickHouse
    clickhouse_url: str = Field(
        "http://127.0.0.1:8123", description="http(s)://host:port, or chdb:PATH in the process"
    )
    clickhouse_user: str = Field("default", description="the ClickHouse user")
    clickhouse_password_file: Path | None = Field(None, description="file with the password")
    clickhouse_ca_file: Path | None = Field(None, description="CA certificates (PEM) for https")
    clickhouse_database: str = Field(
        "rater", pattern="^[A-Za-z_][A-Za-z0-9_]*$", description="the ledger's database"
    )

    # Rating
    tariff: Path = Field(schemas.SAMPLE_TARIFF, description="the tariff book (TOML)")
    tariff_reload_s: PositiveSeconds = Field(2, description="how often its files are looked at")

    # Writing
    batch_rows: PositiveInt = Field(100_000, description="records in one write at the most")
    batch_wait_s: Annotated[float, Field(ge=0)] = Field(
        0.02, description="how long a quiet topic's record waits for company"
    )
    queue_batches: PositiveInt = Field(8, description="fetched batches that may wait to be rated")
    insert_timeout_s: PositiveSeconds = Field(60, description="of one request to the store")
    search_timeout_s: PositiveSeconds = Field(
        600, description="of one part of a search of maintenance"
    )
    store_outage_max_s: PositiveSeconds = Field(
        300, description="a store down for longer stops the worker, nothing acknowledged"
    )
    stop_timeout_s: PositiveSeconds = Field(5, description="to drain after SIGTERM")
    monthly_every_s: PositiveSeconds = Field(2, description="between makings of monthly lines")
    health_stall_s: PositiveSeconds = Field(60, description="lag without progress that is ill")

    # How long what can name a person stays; `rater forget` forgets the rest
    keep_rejected_days: Annotated[int, Field(ge=0)] = Field(
        0, description="dead letters are kept for so long; 0 is for ever"
    )
    keep_parked_days: Annotated[int, Field(ge=0)] = Field(
        0, description="parked events that were rated are kept for so long; 0 is for ever"
    )
    keep_numbers_months: Annotated[int, Field(ge=0)] = Field(
        0, description="numbers of so many months before this one are kept whole; 0 is of all"
    )

    # What is told of budgets
    alerts_url: str = Field("", description="a webhook for what is told of budgets; https")
    alerts_secret_file: Path | None = Field(
        None, description="file with the secret (whsec_...) that signs it"
    )
    alerts_private: bool = Field(False, description="let the webhook be at a private address")

    # Web
    ops_host: str = Field("127.0.0.1", description="where health and metrics listen")
    ops_port: Annotated[int, Field(ge=0, le=65_535)] = Field(6067, description="0 is any free one")
    web_host: str = Field("127.0.0.1", description="where the page and the API listen")
    web_port: Annotated[int, Field(ge=0, le=65_535)] = Field(6066, description="0 is any free one")
    api_tokens_file: Path | None = Field(
        None, description="the tokens' hashes, made by rater token create"
    )
    trusted_proxies: Annotated[list[str], NoDecode, BeforeValidator(_by_comma)] = Field(
        [], description="addresses whose X-Forwarded-For and -Proto are believed, by comma"
    )
    hosts: Annotated[list[str], NoDecode, BeforeValidator(_by_comma)] = Field(
        [], description="names of the page and the API beside loopback's, by comma"
    )
    log_format: Literal["console", "json"] = Field("console", description="console or json")

    # Tests
    fault: str = Field(
        "",
        pattern=FAULT_PATTERN,
        description="for tests: kills the worker at a named point, such as in_insert:3",
    )

    @model_validator(mode="after")
    def _refuse_an_open_door(self) -> Self:
        if not is_loopback(self.web_host) and self.api_tokens_file is None:
            raise ValueError(
                f"RATER_WEB_HOST {self.web_host} is reachable from outside: "
                "set RATER_API_TOKENS_FILE, or bind to 127.0.0.1"
            )
        url = urlsplit(self.clickhouse_url)
        if url.password or url.username or "password" in url.query.lower():
            raise ValueError(
                "RATER_CLICKHOUSE_URL carries a user or password: "
                "set RATER_CLICKHOUSE_USER and RATER_CLICKHOUSE_PASSWORD_FILE"
            )
        self._refuse_an_open_webhook()
        if self.hosts and self.api_tokens_file is None:
            raise ValueError("RATER_HOSTS serves other names: set RATER_API_TOKENS_FILE, too")
        return self

    def _refuse_an_open_webhook(self) -> None:
        """What is told names accounts: it is signed, and read by nobody on its way."""
        if not self.alerts_url:
            return
        try:
            url = urlsplit(self.alerts_url)
            host, _ = url.hostname or "", url.port
        except ValueError:
            raise ValueError("RATER_ALERTS_URL is no address; write https://HOST/PATH") from None
        if url.username or url.password:
            raise ValueError("RATER_ALERTS_URL carries a user or password: it is signed instead")
        is_local = url.scheme == "http" and is_loopback(host)
        if not host or (url.scheme != "https" and not is_local):
            raise ValueError(
                "RATER_ALERTS_URL is not https; http is for this machine's own addresses alone"
            )
        if self.alerts_secret_file is None:
            raise ValueError("RATER_ALERTS_URL is set: set RATER_ALERTS_SECRET_FILE, too")

    def topic(self, name: str) -> str:
        return self.topic_prefix + name


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def unknown_settings(environment: Iterable[str]) -> list[str]:
    """A warning for each variable that looks like a setting and is none; never its value."""
    known = [f"RATER_{name.upper()}" for name in Settings.model_fields]
    return [
        f"{name} is no setting and is ignored{did_you_mean(name.upper(), known)}"
        for name in sorted(environment)
        if name.upper().startswith("RATER_") and name.upper() not in known
    ]


class SettingsError(ValueError):
    """A setting that can't be used; the message is one line for each."""


def read_secret(path: Path | None) -> str:
    """A secret's file without its last line break; empty where no file is set.

    Raises SettingsError for a file that can't be read, and for an empty one: what should have made
    the secret has failed.
    """
    if path is None:
        return ""
    try:
        secret = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the secret's file {path} can't be read: {in_words(error)}") from error
    if not secret:
        raise SettingsError(f"the secret's file {path} is empty; make the secret anew")
    return secret


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment. Raises SettingsError naming the variable and its value."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            if problem["loc"]:
                name = "RATER_" + str(problem["loc"][0]).upper()
                lines.append(f"{name}={problem['input']!r}: {problem['msg']}")
            else:
                lines.append(problem["msg"].removeprefix("Value error, "))
        raise SettingsError("\n".join(lines)) from None
