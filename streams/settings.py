"""The only module that reads the environment, so that every choice has a name, a type and a default."""

from __future__ import annotations

import difflib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

import orjson
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    StringConstraints,
    ValidationError,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from streams import clock, kafka_access
from streams.choices import BindHost, Budget, Endpoint, ModelRole, budget_kinds, objects, revealed
from streams.env_file import EnvFileError
from streams.env_file import read as read_env_file
from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

    from topics.kafka import KafkaConfig

PREFIX = "STREAMS_"
ENV_FILE = ".env"
MASK = "********"
CREDENTIALS = re.compile(r"//[^/@\s]+@")  # user and password inside a URL
SCOPES = ("submit", "read", "approve", "admin")

Scope = Literal["submit", "read", "approve", "admin"]


EventTypes = Annotated[str, StringConstraints(pattern=r"^(\*|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?)$")]
"""A type of events, all below a name (`shop.*`), or all of them (`*`)."""


class SettingsError(StreamsError):
    """Raised at the start by `load`: one line for each setting that is unknown, ill-typed or missing."""


class ApiKey(BaseModel):
    """A key that clients of the gateway send, and what it allows.

    `types` are the types of events that it may publish, as names or as `shop.*`; unset: all that its scopes allow.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: SecretStr
    scopes: frozenset[Scope]
    types: tuple[EventTypes, ...] | None = None


class Row(NamedTuple):
    """One line of `streams settings`: texts, secrets masked."""

    name: str
    value: str
    default: str
    source: str
    description: str


def cache_home() -> Path:
    """Return the folder for downloads that any checkout may share: the platform's convention, in the user's home."""
    if configured := os.environ.get("XDG_CACHE_HOME"):
        return Path(configured) / "streams"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "streams"


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _from_json(value: str) -> object:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        message = f"it is not JSON ({error})"
        raise ValueError(message) from None


def _webhook_secrets(value: object) -> object:
    """Accept one secret where the list of live ones has a single member."""
    decoded = _from_json(value) if isinstance(value, str) else value
    if not isinstance(decoded, dict):
        message = 'it must be a JSON object, such as {"github": ["secret"]}'
        raise ValueError(message)  # noqa: TRY004 - pydantic turns ValueError, not TypeError, into an error of the field
    return {source: [secrets] if isinstance(secrets, str) else secrets for source, secrets in decoded.items()}


def _api_keys(value: object) -> object:
    """Accept `{"key": ["submit"]}`, `["key"]` and `key:submit+read,key`; a key without scopes has all of them.

    In an object a key may have an object, too: `{"key": {"scopes": ["submit"], "types": ["shop.*"]}}`.
    """
    if isinstance(value, str):
        value = _from_json(value) if value.lstrip().startswith(("{", "[")) else _split(value)
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        pairs = [(key, scopes or "+".join(SCOPES)) for key, _, scopes in (item.partition(":") for item in value)]
    else:
        return value
    return [_api_key(key, given) for key, given in pairs]


def _api_key(key: str, given: object) -> dict[str, object]:
    if not isinstance(given, dict):
        given = {"scopes": given}
    if "scopes" not in given or given.keys() - {"scopes", "types"}:
        message = 'an object of a key has scopes and, if wanted, types: {"scopes": ["submit"], "types": ["shop.*"]}'
        raise ValueError(message)
    scopes = given["scopes"]
    return {"key": key, **given, "scopes": scopes.split("+") if isinstance(scopes, str) else scopes}


File = Annotated[Path, AfterValidator(Path.expanduser)]  # "~" in `.env` is not replaced by any shell
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """All settings, frozen after they were read; `STREAMS_` plus the field's name in capitals is the variable."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        env_file_encoding="utf-8-sig",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",  # other programs' variables share `.env`; unknown STREAMS_ ones are refused by `load`
        populate_by_name=True,
        hide_input_in_errors=True,
    )
    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    # Kafka
    kafka_bootstrap_servers: str | None = Field(
        None, description="host:port, comma-separated; set: nothing is embedded"
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how clients talk to the brokers"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER"] | None = Field(
        None, description="how clients prove who they are, with SASL"
    )
    kafka_sasl_username: str | None = Field(None, description="user for SASL")
    kafka_sasl_password: SecretStr | None = Field(None, description="password for SASL")
    kafka_sasl_oauth_url: str | None = Field(None, description="token endpoint of OAUTHBEARER (OpenID Connect)")
    kafka_sasl_oauth_client_id: str | None = Field(None, description="client id for the token endpoint")
    kafka_sasl_oauth_client_secret: SecretStr | None = Field(None, description="client secret for the token endpoint")
    kafka_sasl_oauth_scope: str | None = Field(None, description="scope that is asked of the token endpoint")
    kafka_ssl_ca: File | None = Field(None, description="file with the certificate authority of the brokers")
    kafka_ssl_cert: File | None = Field(None, description="file with this client's certificate")
    kafka_ssl_key: File | None = Field(None, description="file with this client's private key")
    kafka_ssl_key_password: SecretStr | None = Field(None, description="password of the private key's file")
    topic_prefix: str = Field(
        "", pattern=r"^[a-zA-Z0-9._-]*$", max_length=100, description="put before every topic's name, with a dot"
    )
    partitions: int = Field(4, ge=1, le=1000, description="shared count of all keyed topics; cannot change later")
    replication_factor: int = Field(-1, ge=-1, description="copies of each partition; -1: the broker's default")

    # Schemas
    schema_registry_url: str | None = Field(
        None, description="Confluent-compatible registry; unset: the committed files"
    )
    schema_registry_username: str | None = Field(None, description="user of the registry")
    schema_registry_password: SecretStr | None = Field(None, description="password of the registry")

    # Processes
    state_dir: File = Field(
        Path(".streams"), description="folder of everything local; all of it can be rebuilt from topics"
    )
    cache_dir: File = Field(
        default_factory=cache_home, description="folder of downloads: Kafka's jars, the local model"
    )
    pool: str = Field("default", pattern=r"^[a-z0-9][a-z0-9_-]*$", description="the worker's group of dedicated agents")
    slot: str | None = Field(
        None, pattern=r"^[a-z0-9][a-z0-9_-]*$", description="names a worker's state folder; unset: the next free one"
    )
    worker_host: BindHost = Field("127.0.0.1", description="address on which a worker answers the gateway")
    worker_port: int = Field(0, ge=0, le=65535, description="port on which a worker answers the gateway; 0: a free one")
    worker_url: str | None = Field(
        None,
        description="URL under which the gateway reaches this worker; unset: http, its host (of all: its name), port",
    )
    cluster_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="what workers and gateways show each other, 16 characters or more; a worker off loopback needs it",
    )
    workers: int = Field(2, ge=0, le=64, description="workers that `streams dev` starts and keeps alive")
    standbys: int = Field(
        0, ge=0, le=8, description="other workers that keep a warm copy of each partition's stores; 0: none"
    )
    loop_blocked_after: float = Field(
        60.0, ge=0, description="seconds after which a worker whose event loop is blocked is ended; 0: never"
    )
    threads_held_after: float = Field(
        900.0, ge=0, description="seconds without a return from its plain functions until a full worker ends; 0: never"
    )
    apps: Names = Field(
        (), description="importable packages with your own agents, comma-separated; unset: the sample, streams.examples"
    )
    flood_threshold: int = Field(
        100, ge=1, description="events a reaction may give up in a minute before its failing events wait instead"
    )
    history_days: float = Field(
        30.0, gt=0, description="days for which the journal of an ended run is kept; then the run is expired"
    )
    dedupe_hours: float = Field(24.0, gt=0, description="hours during which a repeated delivery or key is recognised")

    # Gateway
    gateway_host: BindHost = Field(
        "127.0.0.1", description="address the gateway binds; others than loopback need API_KEYS"
    )
    gateway_port: int = Field(8000, ge=0, le=65535, description="port of the gateway; 0: a free one")
    gateway_connections_per_address: int = Field(
        1_024, ge=1, description="connections that one address may hold; a proxy in front counts as one address"
    )
    advertised_url: str | None = Field(None, description="URL under which clients reach the gateway")
    api_keys: Annotated[tuple[ApiKey, ...], NoDecode, BeforeValidator(_api_keys)] = Field(
        (),
        description='key to scopes, as JSON: {"key": ["submit", "read", "admin"]}; with types of events: '
        '{"key": {"scopes": ["submit"], "types": ["shop.*"]}}',
    )
    webhook_secrets: Annotated[
        dict[str, Annotated[tuple[SecretStr, ...], Field(min_length=1)]], NoDecode, BeforeValidator(_webhook_secrets)
    ] = Field({}, description='source to live secrets, as JSON: {"github": ["new", "old"]}')
    api_key: SecretStr | None = Field(None, description="the key that this command line sends to the gateway")

    # Models and tools
    llm_base_url: Endpoint | None = Field(
        None,
        validation_alias=AliasChoices("STREAMS_LLM_BASE_URL", "OPENAI_BASE_URL"),
        description="OpenAI-compatible endpoint; this and the key unset: a local model",
    )
    llm_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("STREAMS_LLM_API_KEY", "OPENAI_API_KEY"),
        description="key of the model endpoint",
    )
    llm_model: str | None = Field(None, description="name of the model; unset: the endpoint's usual one")
    llm_gguf: File | None = Field(
        None,
        description="model that `streams dev` serves: a name of `llm list` or a GGUF file; unset: the one that ships",
    )
    llm_timeout: float = Field(120.0, gt=0, description="seconds after which one request to a model counts as failed")
    llm_total_timeout: float = Field(
        600.0, gt=0, description="seconds for a model call with its waits, repeated requests and fallbacks"
    )
    llm_concurrency: int = Field(0, ge=0, description="model calls under way at once in one worker; 0: any number")
    llm_roles: Annotated[dict[str, ModelRole], NoDecode, BeforeValidator(objects)] = Field(
        {}, description='models by role, as JSON: {"fast": {"model": …, "base_url", "api_key", "fallback": ["smart"]}}'
    )
    llm_fallback: Names = Field((), description="roles that are asked, in order, when the usual model does not answer")
    llm_prices: File | None = Field(None, description="JSON file with prices of models, over those that ship")
    database_url: SecretStr | None = Field(
        None, description="database of the SQL tool: postgresql://user@host/name or sqlite:///path"
    )
    budgets: Annotated[dict[str, Budget], NoDecode, BeforeValidator(budget_kinds)] = Field(
        {}, description='budgets of agents without their own, as JSON: {"run": {"tokens", "usd", "calls"}, …}'
    )
    fetch_allow: Names = Field(
        (),
        description="private hosts that tools may fetch, comma-separated: host:port, or host for ports 80 and 443",
    )
    data_sources: Names = Field(
        (), description="URLs and files that monitor_data_sources looks at every hour, comma-separated"
    )
    alert_webhook: SecretStr | None = Field(None, description="URL that alerts are posted to, as Standard Webhooks")
    alert_webhook_secret: SecretStr | None = Field(None, description="secret that signs alerts: whsec_ and base64")
    alert_slack: SecretStr | None = Field(None, description="incoming webhook of Slack, or one like it, for alerts")

    # Logs
    redact: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)] = Field(
        (), description="further secrets, of your own agents, that are masked wherever we write; comma-separated"
    )
    otlp_endpoint: str | None = Field(
        None,
        validation_alias=AliasChoices("STREAMS_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="URL of an OpenTelemetry collector that takes OTLP over HTTP; unset: no traces are sent",
    )
    log_format: Literal["text", "json"] = Field("text", description="lines for people or for machines")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least severe line to print")

    def kafka(self) -> KafkaConfig:
        """Return how to reach Kafka; SettingsError when no cluster is named and none was started."""
        if self.kafka_bootstrap_servers is None:
            message = "No Kafka is known: start one with `streams dev`, or set STREAMS_KAFKA_BOOTSTRAP_SERVERS."
            raise SettingsError(message)
        from topics.kafka import KafkaConfig  # noqa: PLC0415 - only processes that talk to Kafka need it
        from topics.reach import Reach  # noqa: PLC0415

        return KafkaConfig(
            bootstrap_servers=self.kafka_bootstrap_servers,
            security_protocol=self.kafka_security_protocol,
            sasl_mechanism=self.kafka_sasl_mechanism,
            sasl_username=self.kafka_sasl_username,
            sasl_password=_revealed(self.kafka_sasl_password),
            oauth_url=self.kafka_sasl_oauth_url,
            oauth_client_id=self.kafka_sasl_oauth_client_id,
            oauth_client_secret=_revealed(self.kafka_sasl_oauth_client_secret),
            oauth_scope=self.kafka_sasl_oauth_scope,
            ssl_ca=None if self.kafka_ssl_ca is None else str(self.kafka_ssl_ca),
            ssl_cert=None if self.kafka_ssl_cert is None else str(self.kafka_ssl_cert),
            ssl_key=None if self.kafka_ssl_key is None else str(self.kafka_ssl_key),
            ssl_key_password=_revealed(self.kafka_ssl_key_password),
            reach=Reach(self.kafka_bootstrap_servers, clock.monotonic),
        )

    def changed(self, source: str = "command line", /, **values: object) -> Self:
        """Return a validated copy with other values, as flags or a running `streams dev` give them."""
        copy = self.model_copy(update=type(self).model_validate({**self._plain(), **values}).__dict__)
        copy._sources = {**self._sources, **dict.fromkeys(values, source)}  # noqa: SLF001 - a copy of our own class
        return copy

    def _plain(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields}


def load(**values: object) -> Settings:
    """Read the environment, `.env` and flags given as `values`; SettingsError with one line for each that is wrong."""
    try:
        problems = list(_unknown())  # reads `.env` first: pydantic skips lines that it cannot parse
    except EnvFileError as error:
        raise SettingsError(str(error)) from None
    try:
        settings = Settings(**values)  # type: ignore[arg-type]  # validated here, that is the point
    except ValidationError as error:
        problems += [_problem(str(item["loc"][0]), item["msg"]) for item in error.errors(include_input=False)]
    else:
        problems += kafka_access.problems(settings)
    if problems:
        raise SettingsError("\n".join(problems))
    settings._sources = {**_sources(), **dict.fromkeys(values, "command line")}  # noqa: SLF001 - set once, here
    return settings


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def describe(settings: Settings) -> list[Row]:
    """Return every setting with its value, default and source (default, environment, .env, command line)."""
    return [
        Row(
            _variable(name),
            _shown(getattr(settings, name)),
            _shown(field.get_default(call_default_factory=True)),
            settings._sources.get(name, "default"),  # noqa: SLF001 - kept private so that `Settings` has only settings
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def child_locale() -> dict[str, str]:
    """Return this process's environment with a locale in which a JVM can open files of any name.

    In the POSIX locale Java replaces every letter of a path that is not ASCII (JEP 400 does not cover file names).
    """
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def replace_environment(environment: Mapping[str, str]) -> None:
    """Replace the environment of this process: that of the command which it becomes."""
    os.environ.clear()
    os.environ.update(environment)


def child_environment(settings: Settings, **values: object) -> dict[str, str]:
    """Return the environment for a process that shall see `settings`, with `values` in their place, secrets too."""
    final = settings.changed(**values) if values else settings
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
    for name, field in Settings.model_fields.items():
        value = getattr(final, name)
        if name in final._sources or value != field.get_default(call_default_factory=True):  # noqa: SLF001
            environment[_variable(name)] = _encoded(value)
    return environment


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


def _aliases(name: str, field: FieldInfo) -> list[str]:
    choices = field.validation_alias
    return [str(choice) for choice in choices.choices] if isinstance(choices, AliasChoices) else [_variable(name)]


def _given() -> list[tuple[str, Mapping[str, str | None]]]:
    """Return the places that hold settings, the stronger one first, names in capitals."""
    places: list[tuple[str, Mapping[str, str | None]]] = [
        ("environment", os.environ),
        (ENV_FILE, read_env_file(Path(ENV_FILE))),
    ]
    return [(place, {name.upper(): value for name, value in found.items() if value}) for place, found in places]


def _unknown() -> Iterator[str]:
    known = {alias for name, field in Settings.model_fields.items() for alias in _aliases(name, field)}
    for place, found in _given():
        for name in found:
            if name.startswith(PREFIX) and name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else "`streams settings` lists the known ones."
                yield f"{name} ({place}) is not a setting: {hint}"


def _problem(location: str, message: str) -> str:
    names = {alias: name for name, field in Settings.model_fields.items() for alias in _aliases(name, field)}
    name = names.get(location, location)
    field = Settings.model_fields[name]
    place = _sources().get(name)
    origin = f" ({place})" if place else ""
    return (
        f"{_variable(name)}{origin} is wrong: {message.removeprefix('Value error, ')}; it means: {field.description}."
    )


def _sources() -> dict[str, str]:
    sources: dict[str, str] = {}
    for name, field in Settings.model_fields.items():
        for place, found in reversed(_given()):
            for alias in reversed(_aliases(name, field)):
                if alias in found:
                    sources[name] = place if alias == _variable(name) else f"{place} ({alias})"
    return sources


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            return MASK
        case ApiKey():
            types = "" if value.types is None else f" ({' '.join(value.types) or 'no events'})"
            return f"{MASK}:{'+'.join(sorted(value.scopes))}{types}"
        case dict():
            return ", ".join(f"{key}: {_shown(item)}" for key, item in value.items())
        case BaseModel():
            return CREDENTIALS.sub(f"//{MASK}@", value.model_dump_json(exclude_none=True))
        case tuple():
            return ",".join(_shown(item) for item in value)
        case _:
            return CREDENTIALS.sub(f"//{MASK}@", str(value))


def _encoded(value: object) -> str:
    """Return the text that a child reads back as `value`."""
    match value:
        case None:
            return ""
        case SecretStr():
            return value.get_secret_value()
        case tuple() if value and isinstance(value[0], ApiKey):
            keys = {
                item.key.get_secret_value(): item.model_dump(mode="json", include={"scopes", "types"}) for item in value
            }
            return orjson.dumps(keys).decode()
        case dict():
            inner = {
                key: revealed(items) if isinstance(items, BaseModel) else [_encoded(item) for item in items]
                for key, items in value.items()
            }
            return orjson.dumps(inner).decode()
        case tuple():
            return ",".join(_encoded(item) for item in value)
        case _:
            return str(value)
