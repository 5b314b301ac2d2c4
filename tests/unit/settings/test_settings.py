"""Settings are read once, checked as a whole, and never show a secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from streams.settings import MASK, SettingsError, child_environment, describe, load

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in os.environ:
        if name.startswith(("STREAMS_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_environment_wins_over_dotenv_over_default(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("STREAMS_PARTITIONS=8\nSTREAMS_POOL=scraper\nOTHER=1\n")
    monkeypatch.setenv("STREAMS_PARTITIONS", "12")
    settings = load()
    rows = {row.name: row for row in describe(settings)}
    assert (settings.partitions, settings.pool, settings.gateway_port) == (12, "scraper", 8000)
    assert rows["STREAMS_PARTITIONS"][1:4] == ("12", "4", "environment")
    assert rows["STREAMS_POOL"].source == ".env"
    assert rows["STREAMS_GATEWAY_PORT"].source == "default"


def test_flags_win_and_are_named_as_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_POOL", "a")
    settings = load(pool="b")
    assert settings.pool == "b"
    assert next(row for row in describe(settings) if row.name == "STREAMS_POOL").source == "command line"


def test_each_wrong_setting_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_PARTITION", "3")
    monkeypatch.setenv("STREAMS_GATEWAY_PORT", "high")
    monkeypatch.setenv("STREAMS_API_KEYS", "secret-key:submit+everything")
    with pytest.raises(SettingsError) as caught:
        load()
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "STREAMS_PARTITION " in lines[0]
    assert "did you mean STREAMS_PARTITIONS?" in lines[0]
    assert lines[1].startswith("STREAMS_GATEWAY_PORT (environment) is wrong")
    assert "secret-key" not in str(caught.value)


def test_unknown_in_dotenv_is_refused() -> None:
    Path(".env").write_text("STREAMS_COLOUR=red\n")
    with pytest.raises(SettingsError, match=r"STREAMS_COLOUR \(\.env\) is not a setting"):
        load()


def test_empty_means_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_KAFKA_BOOTSTRAP_SERVERS", "")
    assert load().kafka_bootstrap_servers is None


@pytest.mark.parametrize(
    "text", ['{"k1": ["submit"], "k2": ["submit", "read", "admin"]}', "k1:submit,k2", '["k1:submit", "k2"]']
)
def test_api_keys_have_scopes(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("STREAMS_API_KEYS", text)
    keys = {key.key.get_secret_value(): key.scopes for key in load().api_keys}
    assert keys["k1"] == {"submit"}
    assert keys["k2"] >= {"submit", "read", "admin"}


def test_a_key_may_be_for_some_types_of_events(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        '{"shopkey": {"scopes": ["submit"], "types": ["shop.*", "ticket"]}, "boss": ["admin"], "m": {"scopes": "read"}}'
    )
    monkeypatch.setenv("STREAMS_API_KEYS", text)
    parent = load()
    assert [key.types for key in parent.api_keys] == [("shop.*", "ticket"), None, None]
    monkeypatch.setenv("STREAMS_API_KEYS", child_environment(parent)["STREAMS_API_KEYS"])
    assert load().api_keys == parent.api_keys
    (row,) = [row for row in describe(parent) if row.name == "STREAMS_API_KEYS"]
    assert row.value == "********:submit (shop.* ticket),********:admin,********:read"


@pytest.mark.parametrize(
    "given",
    [
        {"types": ["shop.*"]},
        {"scopes": ["submit"], "type": ["shop.*"]},
        {"scopes": ["submit"], "types": ["shop*"]},
        {"scopes": ["submit"], "types": ["*.shop"]},
        {"scopes": ["submit"], "types": "shop.*"},
        {"scopes": ["submit"], "types": [""]},
    ],
)
def test_a_key_whose_types_are_not_read_stops_the_start(given: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_API_KEYS", json.dumps({"keep-it-secret": given}))
    with pytest.raises(SettingsError, match="STREAMS_API_KEYS") as error:
        load()
    assert "keep-it-secret" not in str(error.value)


def test_webhook_secrets_can_be_rotated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_WEBHOOK_SECRETS", '{"github": ["new", "old"], "slack": "only"}')
    secrets = load().webhook_secrets
    assert [secret.get_secret_value() for secret in secrets["github"]] == ["new", "old"]
    assert [secret.get_secret_value() for secret in secrets["slack"]] == ["only"]


def test_openai_variables_are_honoured_and_ours_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://model/v1")
    settings = load()
    assert settings.llm_base_url == "http://model/v1"
    monkeypatch.setenv("STREAMS_LLM_API_KEY", "ours")
    key = load().llm_api_key
    assert key is not None
    assert key.get_secret_value() == "ours"


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_API_KEYS", "hush:read")
    monkeypatch.setenv("STREAMS_WEBHOOK_SECRETS", '{"github": ["hush"]}')
    monkeypatch.setenv("STREAMS_LLM_API_KEY", "hush")
    monkeypatch.setenv("STREAMS_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("STREAMS_KAFKA_SASL_MECHANISM", "PLAIN")
    monkeypatch.setenv("STREAMS_KAFKA_SASL_USERNAME", "user")
    monkeypatch.setenv("STREAMS_KAFKA_SASL_PASSWORD", "hush")
    monkeypatch.setenv("STREAMS_SCHEMA_REGISTRY_URL", "http://user:hush@registry:8081")
    settings = load()
    shown = repr([row for row in describe(settings) if row.value])
    assert "hush" not in shown
    assert MASK in shown


def test_a_child_reads_back_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_API_KEYS", "k:read")
    monkeypatch.setenv("STREAMS_WEBHOOK_SECRETS", '{"github": ["s"]}')
    monkeypatch.setenv("STREAMS_APPS", "a.b, c")
    parent = load(kafka_bootstrap_servers="host:1", partitions=7)
    environment = child_environment(parent, slot="w1")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert load().model_dump() == parent.changed(slot="w1").model_dump()


def test_frozen_and_validated() -> None:
    settings = load()
    with pytest.raises(ValidationError):
        settings.pool = "x"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.changed(partitions=0)


def test_kafka_needs_a_cluster() -> None:
    with pytest.raises(SettingsError, match="streams dev"):
        load().kafka()


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080/v1"),
        (" https://api.example.com/v1/chat/completions ", "https://api.example.com/v1"),
        ("https://api.example.com/v1/chat/completions/", "https://api.example.com/v1"),
        ("HTTP://[::1]:8080", "HTTP://[::1]:8080"),
    ],
)
def test_a_model_s_url_is_taken_as_people_copy_it(monkeypatch: pytest.MonkeyPatch, text: str, url: str) -> None:
    monkeypatch.setenv("STREAMS_LLM_BASE_URL", text)
    assert load().llm_base_url == url
    monkeypatch.setenv("STREAMS_LLM_ROLES", f'{{"fast": {{"base_url": "{text}"}}}}')
    assert load().llm_roles["fast"].base_url == url


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("127.0.0.1:8080/v1", "http://"),
        ("localhost:8080/v1", "http://"),
        ("api.example.com", "http://"),
        ("http://user:canary-pass@example.com/v1", "STREAMS_LLM_API_KEY"),
        ("http:///v1", "no host"),
        ("https://example.com/v1?api-version=1", "before"),
        ("http://example.com:99999/v1", "ort"),
        ("ftp://example.com", "http://"),
    ],
)
def test_a_model_s_url_that_cannot_work_stops_the_start(monkeypatch: pytest.MonkeyPatch, text: str, says: str) -> None:
    monkeypatch.setenv("STREAMS_LLM_BASE_URL", text)
    with pytest.raises(SettingsError, match=f"LLM_BASE_URL.*{says}") as caught:
        load()
    assert "canary-pass" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_line_of_dotenv_that_cannot_be_parsed_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    Path(".env").write_text('STREAMS_POOL=a\nSTREAMS_WEBHOOK_SECRETS="{"github": ["a"]}"\n')
    with pytest.raises(SettingsError, match=r"^\.env line 2 is not NAME=value") as caught:
        load()
    assert len(str(caught.value).splitlines()) == 1
    assert capfd.readouterr() == ("", "")


def test_a_dotenv_that_is_not_utf8_is_named() -> None:
    Path(".env").write_bytes(b"STREAMS_TOPIC_PREFIX=caf\xe9\n")
    with pytest.raises(SettingsError, match=r"^\.env is not UTF-8"):
        load()


def test_a_dotenv_with_a_byte_order_mark_and_crlf_is_read() -> None:
    Path(".env").write_bytes(b"\xef\xbb\xbfSTREAMS_POOL=scraper\r\nSTREAMS_PARTITIONS=8\r\n")
    settings = load()
    assert (settings.pool, settings.partitions) == ("scraper", 8)


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "ca.pem").touch()
    Path(".env").write_text(
        "STREAMS_STATE_DIR=~/state\nSTREAMS_KAFKA_SSL_CA=~/ca.pem\nSTREAMS_KAFKA_SECURITY_PROTOCOL=SSL\n"
    )
    settings = load()
    assert (settings.state_dir, settings.kafka_ssl_ca) == (tmp_path / "state", tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"SASL_USERNAME": "u"}, r"SASL_USERNAME has no effect with PLAINTEXT: set STREAMS_KAFKA_SECURITY_PROTOCOL"),
        ({"SECURITY_PROTOCOL": "SASL_SSL"}, r"set STREAMS_KAFKA_SASL_MECHANISM"),
        ({"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "GSSAPI"}, r"GSSAPI, which .* not built with"),
        ({"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "PLAIN", "SASL_USERNAME": "u"}, r"set .*SASL_PASSWORD"),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "OAUTHBEARER", "SASL_OAUTH_CLIENT_ID": "c",
             "SASL_OAUTH_CLIENT_SECRET": "s"},
            r"set STREAMS_KAFKA_SASL_OAUTH_URL",
        ),
        ({"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "SASL_MECHANISM": "PLAIN", "SASL_USERNAME": "u",
          "SASL_PASSWORD": "p", "SSL_CA": "ca.pem"}, r"SSL_CA has no effect with SASL_PLAINTEXT"),
        ({"SECURITY_PROTOCOL": "SSL", "SSL_CERT": "ca.pem"}, r"go together"),
        ({"SECURITY_PROTOCOL": "SSL", "SSL_CA": "none.pem"}, r"STREAMS_KAFKA_SSL_CA is none.pem, which does not exist"),
    ],
)  # fmt: skip
def test_kafka_settings_that_cannot_work_together_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], line: str
) -> None:
    Path("ca.pem").write_text("")
    for name, value in given.items():
        monkeypatch.setenv(f"STREAMS_KAFKA_{name}", value)
    with pytest.raises(SettingsError, match=line) as caught:
        load()
    assert len(str(caught.value).splitlines()) == 1


def test_oauth_becomes_the_librarys_oidc(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "BOOTSTRAP_SERVERS": "a:1",
        "SECURITY_PROTOCOL": "SASL_SSL",
        "SASL_MECHANISM": "OAUTHBEARER",
        "SASL_OAUTH_URL": "https://id.example/token",
        "SASL_OAUTH_CLIENT_ID": "streams",
        "SASL_OAUTH_CLIENT_SECRET": "hidden",
    }.items():
        monkeypatch.setenv(f"STREAMS_KAFKA_{name}", value)
    client = load().kafka().client()
    assert client["sasl.oauthbearer.method"] == "oidc"
    assert client["sasl.oauthbearer.token.endpoint.url"] == "https://id.example/token"
    assert "hidden" not in repr(load().kafka())
