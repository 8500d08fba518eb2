"""Who calls: a person or a program with an API token, or a run pod."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """What a caller may do with what belongs to its user. `write` includes `read`."""

    READ = "read"
    WRITE = "write"
    # Decide on what an agent asks for, and make and revoke tokens: never in the hands of a run.
    APPROVE = "approve"
    TOKENS = "tokens"
    # What belongs to everybody: servers, the workers' graphs, other people's tokens.
    ADMIN = "admin"
    # Take anybody's tasks and say what comes of them.
    WORKER = "worker"


_HOLDER: Final = "token:"


class CallerKind(StrEnum):
    """How the caller proved who it is."""

    HOLDER = "api-token"
    RUN = "run"
    CHAT = "chat"


@dataclass(frozen=True)
class Caller:
    """Somebody who may act for `user`.

    `actor` is what the audit log says: `token:<id>` or `run:<session uid>/<number>`. `mailbox` is where
    this caller's people read, `run` which run it is, None for holders of tokens. `asks_more`: its
    template has people asked about more than what destroys. `expires_at`: of a token that has an end.
    """

    kind: CallerKind
    user: str
    mailbox: str
    actor: str
    scopes: frozenset[Scope]
    run: str | None = None
    asks_more: bool = False
    expires_at: datetime | None = None

    @property
    def is_run(self) -> bool:
        """Whether an agent speaks: the user under suspicion, since what it read may be speaking."""
        return self.kind is CallerKind.RUN

    @property
    def token_id(self) -> str | None:
        """The id of the API token that calls; None for runs and chats."""
        return self.actor.removeprefix(_HOLDER) if self.kind is CallerKind.HOLDER else None

    @property
    def session_uid(self) -> str | None:
        """The AgentSession of the run that calls; None for holders of tokens."""
        return self.run.rpartition("/")[0] if self.run else None


RUN_SCOPES = frozenset({Scope.READ, Scope.WRITE})


def run_caller(user: str, mailbox: str, run: str, *, asks_more: bool = False) -> Caller:
    """The agent of a run."""
    return Caller(CallerKind.RUN, user, mailbox, f"run:{run}", RUN_SCOPES, run, asks_more)


def actor_of_token(token_id: str) -> str:
    """What the audit log calls whoever holds that token, and `created_by` what it made."""
    return f"{_HOLDER}{token_id}"


def token_caller(
    user: str, token_id: str, scopes: frozenset[Scope], expires_at: datetime | None
) -> Caller:
    """Whoever holds an API token."""
    actor = actor_of_token(token_id)
    return Caller(CallerKind.HOLDER, user, user, actor, scopes, expires_at=expires_at)


def chat_caller(user: str, mailbox: str, by: str) -> Caller:
    """A person who has decided on something in their chat: `telegram:<id>`."""
    return Caller(CallerKind.CHAT, user, mailbox, by, frozenset({Scope.APPROVE}))
