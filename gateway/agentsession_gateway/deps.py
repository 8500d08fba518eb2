"""What the request handlers work with, put together in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import httpx

from agentsession_core.cluster import Cluster
from agentsession_core.identity import Identity
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.reviewer import TokenReviewer
from agentsession_core.settings import Settings
from agentsession_gateway.bridge_files import BridgeFiles
from agentsession_gateway.credentials import KeySource
from agentsession_gateway.hub import HintHub
from agentsession_gateway.metrics import Metrics
from agentsession_gateway.sessions import SessionReader
from agentsession_gateway.terminal_caller import TerminalCaller


@dataclass(frozen=True)
class Deps:
    """The gateway's collaborators. `clock` is monotonic seconds, `now` an aware UTC time."""

    settings: Settings
    identity: Identity
    terminals: TokenReviewer[TerminalCaller]
    sessions: SessionReader
    cluster: Cluster
    store: MailboxStore
    hub: HintHub
    upstream: httpx.AsyncClient
    bridge: BridgeFiles
    keys: KeySource
    metrics: Metrics
    new_turn_id: Callable[[], str]
    clock: Callable[[], float]
    now: Callable[[], datetime]
    # Where runs reach this very process: an export is waited for in one.
    address: str = ""
