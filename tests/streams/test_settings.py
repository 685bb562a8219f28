"""Settings: defaults that open no door, secrets from files, one clear line for a wrong one."""

from pathlib import Path

import pytest

from streams.base.settings import Settings, SettingsError, is_loopback, load_settings, read_secret
from streams.kafka.clients import client_options
from tests.conftest import ROOT, environment


def test_nothing_listens_or_connects_beyond_this_machine_unless_told() -> None:
    with environment():
        settings = load_settings()
    assert settings.web_host == settings.ops_host == "127.0.0.1"
    assert settings.kafka_bootstrap == "127.0.0.1:9092"
    assert settings.clickhouse_url == "http://127.0.0.1:8123"
    assert settings.api_tokens_file is None


DOORS = [
    # host              | without tokens
    ("127.0.0.1",         "opens"),
    ("127.8.9.10",        "opens"),
    ("::1",               "opens"),
    ("localhost",         "opens"),
    ("0.0.0.0",           "refused"),
    ("::",                "refused"),
    ("10.1.2.3",          "refused"),
    ("192.168.0.1",       "refused"),
    ("::ffff:10.0.0.1",   "refused"),
    ("localhost.evil",    "refused"),
    ("rater.internal",    "refused"),
]  # fmt: skip


@pytest.mark.parametrize(("host", "without_tokens"), DOORS)
def test_only_this_machine_is_served_without_tokens(
    tmp_path: Path, host: str, without_tokens: str
) -> None:
    assert is_loopback(host) is (without_tokens == "opens")
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[tokens]\nlong-random-text = "acme"\n')
    with environment(RATER_WEB_HOST=host):
        if without_tokens == "opens":
            assert load_settings().web_host == host
        else:
            with pytest.raises(SettingsError) as error:
                load_settings()
            assert str(error.value).splitlines() == [
                f"RATER_WEB_HOST {host} is reachable from outside: "
                "set RATER_API_TOKENS_FILE, or bind to 127.0.0.1"
            ]
    with environment(RATER_WEB_HOST=host, RATER_API_TOKENS_FILE=str(tokens)):
        assert load_settings().web_host == host


def test_an_empty_tokens_file_setting_is_no_tokens_file() -> None:
    """As compose files write it where nothing is set: `RATER_API_TOKENS_FILE: ${TOKENS:-}`."""
    with (
        environment(RATER_WEB_HOST="0.0.0.0", RATER_API_TOKENS_FILE=""),
        pytest.raises(SettingsError, match="RATER_API_TOKENS_FILE"),
    ):
        load_settings()


def test_other_names_are_served_with_tokens_only(tmp_path: Path) -> None:
    with (
        environment(RATER_HOSTS="rater.example"),
        pytest.raises(SettingsError, match="RATER_API_TOKENS_FILE"),
    ):
        load_settings()
    with environment(RATER_HOSTS="a.example, b.example", RATER_API_TOKENS_FILE=str(tmp_path / "t")):
        assert load_settings().hosts == ["a.example", "b.example"]


@pytest.mark.parametrize(
    "url",
    ["http://u:hunter2@h:8123", "http://hunter2@h", "http://h:8123/?user=u&password=hunter2"],
)
def test_the_stores_url_carries_no_password_and_prints_none(url: str) -> None:
    with environment(RATER_CLICKHOUSE_URL=url), pytest.raises(SettingsError) as error:
        load_settings()
    assert "RATER_CLICKHOUSE_PASSWORD_FILE" in str(error.value)
    assert "hunter2" not in str(error.value)


WRONG = [
    # variable                         value               | the line says
    ("RATER_WEB_PORT",                 "eighty",             "integer"),
    ("RATER_WEB_PORT",                 "70000",              "65535"),
    ("RATER_TOPIC_PARTITIONS",         "0",                  "greater than 0"),
    ("RATER_BATCH_WAIT_S",             "-1",                 "greater than or equal to 0"),
    ("RATER_STORE_OUTAGE_MAX_S",       "soon",               "number"),
    ("RATER_KAFKA_SECURITY_PROTOCOL",  "TLS",                "SASL_SSL"),
    ("RATER_CLICKHOUSE_DATABASE",      "a; DROP DATABASE b", "pattern"),
    ("RATER_LOG_FORMAT",               "xml",                "json"),
]  # fmt: skip


@pytest.mark.parametrize(("variable", "value", "says"), WRONG)
def test_a_wrong_setting_is_one_line_that_names_the_variable_and_its_value(
    variable: str, value: str, says: str
) -> None:
    with environment(**{variable: value}), pytest.raises(SettingsError) as error:
        load_settings()
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"{variable}={value!r}: ")
    assert says in line


def test_two_wrong_settings_are_two_lines() -> None:
    with (
        environment(RATER_WEB_PORT="x", RATER_BATCH_ROWS="y"),
        pytest.raises(SettingsError) as error,
    ):
        load_settings()
    assert [line.partition("=")[0] for line in sorted(str(error.value).splitlines())] == [
        "RATER_BATCH_ROWS",
        "RATER_WEB_PORT",
    ]


SECRETS = [
    # in the file          | the secret
    ("p@ss word",            "p@ss word"),
    ("p@ss word\n",          "p@ss word"),
    ("p@ss word\r\n",        "p@ss word"),
    (" p@ss word ",          " p@ss word "),
    ("ünïcode\n",            "ünïcode"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_a_secret_is_its_file_without_the_last_line_break(
    tmp_path: Path, text: str, secret: str
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(text.encode())
    assert read_secret(path) == secret


@pytest.mark.parametrize("text", ["", "\n", "\r\n"])
def test_an_empty_secret_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(text.encode())
    with pytest.raises(SettingsError, match=f"{path} is empty"):
        read_secret(path)


def test_no_file_is_no_secret_and_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    assert read_secret(None) == ""
    with pytest.raises(SettingsError, match="missing can't be read"):
        read_secret(tmp_path / "missing")


def test_no_setting_holds_a_secret_itself() -> None:
    names = [name for name in Settings.model_fields if "password" in name or "token" in name]
    assert names
    assert all(name.endswith("_file") for name in names)


def test_a_clients_password_comes_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "kafka-password"
    path.write_text("hunter2\n")
    with environment(
        RATER_KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT",
        RATER_KAFKA_SASL_USERNAME="rater",
        RATER_KAFKA_SASL_PASSWORD_FILE=str(path),
    ):
        settings = load_settings()
    options = client_options(settings)
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("rater", "hunter2")
    assert "hunter2" not in repr(settings)


def test_a_prefix_stands_before_every_topic() -> None:
    with environment(RATER_TOPIC_PREFIX="eu."):
        assert load_settings().topic("usage.call.v1") == "eu.usage.call.v1"


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_the_readme_lists_every_setting_with_its_default(name: str) -> None:
    setting = Settings.model_fields[name]
    default = "" if setting.default in (None, "") else f"`{setting.default}`"
    if name == "tariff":
        default = "`the sample`"
    row = f"| `RATER_{name.upper()}` | {default} | {setting.description} |"
    assert row in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
