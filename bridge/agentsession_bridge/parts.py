"""The parts of the bridge, and how they know of each other."""

from __future__ import annotations

import asyncio
import random
import secrets
import signal
import time

import httpx
import structlog
import uvicorn
from pydantic import SecretStr
from redis.asyncio import Redis
from telegram import Bot

from agentsession_bridge import texts
from agentsession_bridge.access import AccessFile
from agentsession_bridge.buttons import Buttons
from agentsession_bridge.commands import Commands
from agentsession_bridge.delivery import Delivery
from agentsession_bridge.door import Door
from agentsession_bridge.files_caller import gateway_reviewer
from agentsession_bridge.files_in import FilesIn
from agentsession_bridge.files_out import FilesOut
from agentsession_bridge.health import Health, create_app
from agentsession_bridge.intake import Intake
from agentsession_bridge.keeper import SessionKeeper
from agentsession_bridge.lease import Lease
from agentsession_bridge.letterbox import Letterbox
from agentsession_bridge.limits import Limits
from agentsession_bridge.live import LiveTurns
from agentsession_bridge.metrics import Metrics
from agentsession_bridge.outbox import Outbox
from agentsession_bridge.pace import Lanes
from agentsession_bridge.paired import PairedPeople
from agentsession_bridge.pairing import Codes
from agentsession_bridge.places import Place
from agentsession_bridge.polling import Poller
from agentsession_bridge.presence import Presence
from agentsession_bridge.replies import Replies
from agentsession_bridge.routing import Routes
from agentsession_bridge.session_index import SessionIndex
from agentsession_bridge.sessions import Sessions
from agentsession_bridge.standing import why_it_waits
from agentsession_bridge.telegram_client import Chats
from agentsession_bridge.telegram_connection import until_done
from agentsession_bridge.telegram_transport import BotRequest
from agentsession_bridge.telling import Told, recover
from agentsession_bridge.webhook import Webhook
from agentsession_core.cluster import KubernetesCluster
from agentsession_core.kube import ApiClient
from agentsession_core.mailbox.decisions import Decisions
from agentsession_core.mailbox.lease import Leases
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.pairing import ALPHABET, CODE_CHARACTERS, config_map_name
from agentsession_core.settings import (
    Settings,
)
from agentsession_core.tasks import once, run_until_first_ends

log = structlog.get_logger(__name__)


class Bridge:
    """The parts, and how they know of each other."""

    def __init__(
        self,
        settings: Settings,
        access: AccessFile,
        redis: Redis,
        api: ApiClient,
        bot: Bot,
        polls: BotRequest,
        downloads: httpx.AsyncClient,
        metrics: Metrics,
        holder: str,
    ) -> None:
        self._settings = settings
        self._bot = bot
        self._polls = polls
        self._metrics = metrics
        self._store = MailboxStore(redis, metrics.mailboxes)
        self._lease = Lease(Leases(redis), holder, time.monotonic)
        callers = gateway_reviewer(
            KubernetesCluster(api),
            settings.namespace,
            settings.gateway.service_account,
            time.monotonic,
        )
        self._files_in = FilesIn(bot, downloads, callers)
        chats = Chats(bot)
        lanes = Lanes(time.monotonic, asyncio.sleep)
        presence = Presence(chats)
        self._replies = Replies(chats, lanes, time.monotonic)
        index = SessionIndex(lambda mailbox: self._live.changed(mailbox))
        self._sessions = Sessions(api, settings.session_namespaces, index)
        self._live = LiveTurns(
            redis,
            chats,
            lanes,
            lambda mailbox: why_it_waits(index.holder(mailbox)),
            time.monotonic,
            lambda: random.getrandbits(31) | 1,
        )
        self._delivery = Delivery(
            Outbox(redis),
            chats,
            FilesOut(self._store, bot, chats),
            lanes,
            presence,
            self._live,
            metrics,
            lambda mailbox: held.route if (held := index.holder(mailbox)) else "",
        )
        routes = Routes(redis, settings.bridge.routing)
        told = Told(self._replies, self._live)
        self._keeper = SessionKeeper(self._sessions, routes, told, metrics, time.monotonic)
        limits = Limits(redis, settings.bridge.limits, time.time)
        letterbox = Letterbox(
            self._store, self._keeper, self._replies, presence, self._live, limits, time.time
        )
        self._intake = Intake(
            self._door(access, redis, api),
            letterbox,
            Commands(self._store, letterbox, self._replies, index, time.time),
            Buttons(self._store, Decisions(redis), self._replies, self._live),
            self._replies,
            metrics,
            bot.id,
            bot.username,
        )

    def _door(self, access: AccessFile, redis: Redis, api: ApiClient) -> Door:
        self._paired: PairedPeople | None = None
        if not self._settings.bridge.pairing.enabled:
            return Door(access.current, frozenset, None, self._replies)
        codes = Codes(redis, time.time, _new_code)
        paired = self._paired = PairedPeople(
            api,
            self._settings.namespace,
            config_map_name(self._settings.release),
            codes,
            lambda stranger: self._replies.say(Place(stranger.id), texts.WELCOME),
            time.time,
        )
        return Door(access.current, lambda: paired.people, codes, self._replies)

    async def run(self, host: str, hook_secret: SecretStr | None) -> None:
        """Run everything until a signal or an error; the work itself only while the lease is held."""
        source = self._poller() if hook_secret is None else self._webhook(hook_secret)
        poller = source if isinstance(source, Poller) else None
        app = create_app(Health(self._store, self._lease, poller, time.monotonic))
        self._files_in.add_to(app)
        if isinstance(source, Webhook):
            source.add_to(app)
        server = uvicorn.Server(
            uvicorn.Config(
                app, host=host, port=self._settings.bridge.port, log_config=None, access_log=False
            )
        )
        log.info("bridge started", bot=self._bot.username)
        # uvicorn raises the signal that stopped it once more. An exit in that moment would cancel all work
        # at once and once again, and the lease would not be given back.
        signal.signal(signal.SIGTERM, lambda *_: None)
        # The server ends at a signal, anything else by an error.
        await run_until_first_ends(self._sessions.follow(), self._work(source), server.serve())

    def _webhook(self, secret: SecretStr) -> Webhook:
        return Webhook(
            self._bot,
            self._intake.handle,
            self._settings.bridge.telegram.webhook_url,
            secret,
            lambda: self._lease.held_since is not None,
        )

    def _poller(self) -> Poller:
        async def renew() -> None:
            await self._polls.shutdown()
            await self._polls.initialize()

        return Poller(
            self._bot,
            self._intake.handle,
            renew,
            self._metrics,
            time.monotonic,
            random.random,
        )

    async def _work(self, source: Poller | Webhook) -> None:
        await self._lease.take()
        self._metrics.leader.set(1)
        works = [
            once(until_done(self._show_menu, "menu of commands not set")),
            self._lease.keep(),
            source.run(),
            self._live.run(),
            self._delivery.run(),
            once(recover(self._keeper, self._store, time.time)),
        ]
        if self._paired is not None:
            works.append(self._paired.run())
        await run_until_first_ends(*works)

    async def _show_menu(self) -> None:
        await self._bot.set_my_commands(texts.COMMANDS)


def _new_code() -> str:
    """A code that nobody guesses."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_CHARACTERS))
