"""`agentsession-bridge`: puts the process together and runs it."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import time
from pathlib import Path

import structlog
import uvicorn
from prometheus_client import start_http_server
from telegram.error import InvalidToken, TelegramError

from agentsession_bridge import texts
from agentsession_bridge.access import AccessError, AccessFile
from agentsession_bridge.delivery import Delivery
from agentsession_bridge.files_caller import gateway_reviewer
from agentsession_bridge.files_in import FilesIn, files_client
from agentsession_bridge.files_out import FilesOut
from agentsession_bridge.health import create_app
from agentsession_bridge.intake import Intake
from agentsession_bridge.keeper import SessionKeeper, Waiting
from agentsession_bridge.metrics import Metrics
from agentsession_bridge.outbox import Outbox
from agentsession_bridge.pace import Lanes
from agentsession_bridge.polling import Poller
from agentsession_bridge.presence import Presence
from agentsession_bridge.replies import Replies
from agentsession_bridge.sessions import SessionIndex, Sessions
from agentsession_bridge.telegram_client import Chats, make_bot
from agentsession_core import kube, logs
from agentsession_core.cluster import KubernetesCluster
from agentsession_core.mailbox.connect import connect
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import (
    CONFIG_FILE,
    REDIS_PASSWORD,
    SECRETS_DIRECTORY,
    TELEGRAM_TOKEN,
    SecretFiles,
    Settings,
    SettingsError,
    load_settings,
)
from agentsession_core.tasks import run_until_first_ends

log = structlog.get_logger(__name__)
ACCESS_FILE = "/etc/agentsession/access/access.yaml"


async def serve(settings: Settings, secrets: SecretFiles, access: AccessFile, host: str) -> None:
    """Runs the bridge until it is told to stop.

    Raises kube.KubeConfigError, SettingsError, telegram.error.TelegramError.
    """
    token = secrets.read(TELEGRAM_TOKEN)
    if token is None:
        raise SettingsError(f"no bot token: the secret file {TELEGRAM_TOKEN} is missing or empty")
    metrics = Metrics()
    start_http_server(settings.bridge.metrics_port, host, registry=metrics.registry)
    redis = connect(
        settings.redis.url, secrets.read(REDIS_PASSWORD), metrics.mailboxes.redis_failed
    )
    telegram = settings.bridge.telegram
    bot = make_bot(token, f"{telegram.api_url}/bot", f"{telegram.api_url}/file/bot")
    async with (
        kube.connect("agentsession-bridge", metrics.api) as api,
        files_client() as downloads,
        redis,
        bot,
    ):
        await bot.set_my_commands(texts.COMMANDS)
        store = MailboxStore(redis, metrics.mailboxes)
        chats = Chats(bot)
        lanes = Lanes(time.monotonic, asyncio.sleep)
        callers = gateway_reviewer(
            KubernetesCluster(api),
            settings.namespace,
            settings.gateway.service_account,
            time.monotonic,
        )
        replies = Replies(chats, lanes, time.monotonic)
        presence = Presence(chats)
        sessions = Sessions(api, settings.session_namespaces, SessionIndex())

        def refused(waiting: Waiting, reason: str) -> None:
            replies.say(waiting.place, texts.refused(reason))

        keeper = SessionKeeper(sessions, refused, time.monotonic)
        intake = Intake(store, keeper, replies, presence, access.current, bot.id, bot.username)
        poller = Poller(bot, intake.handle, time.monotonic, random.random)
        files = FilesOut(store, bot, chats)
        delivery = Delivery(Outbox(redis), chats, files, lanes, presence, metrics)
        app = create_app(store, poller, time.monotonic)
        FilesIn(bot, downloads, callers).add_to(app)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                host=host,
                port=settings.bridge.port,
                log_config=None,
                access_log=False,
            )
        )
        log.info("bridge started", bot=bot.username)
        # The server ends at a signal, anything else by an error.
        await run_until_first_ends(sessions.follow(), poller.run(), delivery.run(), server.serve())


def main() -> None:
    """Entry point of the console script."""
    parser = argparse.ArgumentParser(
        description="Telegram on one side, AgentSessions on the other."
    )
    parser.add_argument("--config", type=Path, default=Path(CONFIG_FILE))
    parser.add_argument("--secrets", type=Path, default=Path(SECRETS_DIRECTORY))
    parser.add_argument("--access", type=Path, default=Path(ACCESS_FILE))
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104 -- inside of a pod
    arguments = parser.parse_args()
    try:
        settings = load_settings(arguments.config)
        access = AccessFile(arguments.access)
        access.load()
        logs.configure(settings.log_level, "agentsession-bridge")
        # uvicorn raises the signal that stopped it once more: a stop that was asked for is no failure.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        asyncio.run(serve(settings, SecretFiles(arguments.secrets), access, arguments.host))
    except InvalidToken:
        # Its own text holds the token.
        sys.exit(
            "agentsession-bridge: Telegram refuses the bot's token; ask @BotFather for a new one"
        )
    except (SettingsError, AccessError, kube.KubeConfigError) as error:
        sys.exit(f"agentsession-bridge: {error}")
    except TelegramError as error:
        sys.exit(f"agentsession-bridge: Telegram: {type(error).__name__}")


if __name__ == "__main__":
    main()
