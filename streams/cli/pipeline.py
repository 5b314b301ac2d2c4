"""Finds the pipeline that a command is about: the one that the settings name, or the one that runs here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.local.folder import running
from streams.serving.hosts import url_here
from streams.settings import Settings, load
from streams.telemetry import keep_secrets_of

if TYPE_CHECKING:
    from streams.cli.io.client import Gateway

FOUND = "running pipeline"


def settings_here(**flags: object) -> Settings:
    """Return the settings, completed by what a pipeline that runs on the state folder says; SettingsError if wrong."""
    settings = load(**{name: value for name, value in flags.items() if value is not None})
    keep_secrets_of(settings)  # replays write topics, too
    pipeline = running(settings.state_dir)
    if pipeline is None:
        return settings
    found: dict[str, object] = {}
    if settings.kafka_bootstrap_servers is None:
        found["kafka_bootstrap_servers"] = pipeline.kafka
    if settings.advertised_url is None:
        found["advertised_url"] = pipeline.gateway
    if pipeline.model and settings.llm_base_url is None and settings.llm_api_key is None:
        found["llm_base_url"] = pipeline.model
    return settings.changed(FOUND, **found) if found else settings


def gateway_url(settings: Settings) -> str:
    """Return where the gateway is reached from here."""
    if settings.advertised_url:
        return settings.advertised_url
    return url_here(settings.gateway_host, settings.gateway_port)


def gateway(settings: Settings | None = None) -> Gateway:
    """Return a connection to the gateway, with this command line's API key if there is one."""
    from streams.cli.io.client import Gateway

    here = settings or settings_here()
    key = here.api_key or next((item.key for item in here.api_keys if "admin" in item.scopes), None)
    return Gateway(gateway_url(here), key.get_secret_value() if key else None)
