"""What the request handlers work with, put together in one place."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from agentsession_core.identity import Identity
from agentsession_core.mailbox.publishing import Publishing
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import RateLimitSettings
from agentsession_core.templates import Templates
from orchestrator_api.database import Database
from orchestrator_api.followers import Followers
from orchestrator_api.metrics import Metrics
from orchestrator_api.ratelimits import RateLimits
from orchestrator_api.sealing import Sealer


@dataclass(frozen=True)
class Deps:
    """The API's collaborators. `now` is an aware UTC time, `new_id` twelve hexadecimal digits.

    Without `identity`, `templates` and `runs` (outside of a cluster) only API tokens are taken, without
    `sealer` no secrets. `committed` is told when something waits in the outbox. `clock` counts seconds.
    """

    database: Database
    identity: Identity | None
    runs: MailboxStore | None
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    committed: Callable[[], None] = lambda: None
    strict_approvals: bool = False
    sealer: Sealer | None = None
    streams: Publishing | None = None
    templates: Templates | None = None
    metrics: Metrics = field(default_factory=Metrics)
    clock: Callable[[], float] = time.monotonic
    followers: Followers = field(default_factory=Followers)
    rate_limits: RateLimits = field(
        default_factory=lambda: RateLimits(RateLimitSettings(), time.monotonic)
    )
