"""Opens the connections and lets the bridge work."""

from __future__ import annotations

from prometheus_client import start_http_server
from pydantic import SecretStr

from agentsession_bridge.access import AccessFile
from agentsession_bridge.files_in import files_client
from agentsession_bridge.metrics import Metrics
from agentsession_bridge.parts import Bridge
from agentsession_bridge.telegram_connection import make_bot, until_done
from agentsession_core import kube
from agentsession_core.mailbox.connect import connect
from agentsession_core.settings import (
    REDIS_PASSWORD,
    TELEGRAM_TOKEN,
    TELEGRAM_WEBHOOK_SECRET,
    SecretFiles,
    Settings,
    SettingsError,
)


async def serve(
    settings: Settings, secret_files: SecretFiles, access: AccessFile, host: str, holder: str
) -> None:
    """Run the bridge until it is told to stop.

    Raises kube.KubeConfigError, SettingsError, LeaseLostError, telegram.error.TelegramError.
    """
    token = _secret(secret_files, TELEGRAM_TOKEN)
    hook = settings.bridge.telegram.webhook_url
    hook_secret = _secret(secret_files, TELEGRAM_WEBHOOK_SECRET) if hook else None
    metrics = Metrics()
    redis = connect(
        settings.redis.url,
        secret_files.read(REDIS_PASSWORD),
        metrics.mailboxes.redis_failed,
        "bridge",
    )
    bot, polls = make_bot(
        token,
        settings.bridge.telegram.api_url,
        lambda method, outcome: metrics.calls.labels(method, outcome).inc(),
    )
    server, _ = start_http_server(settings.bridge.metrics_port, host, registry=metrics.registry)
    try:
        async with (
            kube.connect("agentsession-bridge", metrics.api) as api,
            files_client() as downloads,
            redis,
        ):
            try:
                await until_done(bot.initialize, "Telegram not reached")
                bridge = Bridge(
                    settings, access, redis, api, bot, polls, downloads, metrics, holder
                )
                await bridge.run(host, hook_secret)
            finally:
                await bot.shutdown()
    finally:
        server.shutdown()


def _secret(secret_files: SecretFiles, name: str) -> SecretStr:
    found = secret_files.read(name)
    if found is None:
        raise SettingsError(f"the secret file {name} is missing or empty")
    return found
