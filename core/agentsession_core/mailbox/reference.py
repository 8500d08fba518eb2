"""The contract as Markdown: `python -m agentsession_core.mailbox.reference FILE`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic_core import PydanticUndefined

from agentsession_core.mailbox.contract import PER_INSTALLATION, PER_MAILBOX, Contract

_HEADER: Final = """# What stands in Redis

Generated from `agentsession_core.mailbox.contract` by `make crds`. Only the scripts of
`agentsession_core.mailbox` write here, each change in one step; all values are strings. Read
tolerantly: fields may be missing, and a newer release may say more.

Besides these: `user:<id>:run`, `:last`, `:prompt` and `:usage` (hashes between operator and gateway),
`:notices` (ids of notices that were given), `:said` (sorted set: ids of what an agent said in the middle of
a turn, with the time, a day), `:sent` (the bridge's: which messages of an entry Telegram
has), `:files` (hash: for each file on its way out JSON of `name`, `size` and `held`, complete when equal;
a day) with its bytes in the lists `:file:<turn>.<number>`, `:seen:<source>:<id>` (48 hours, against a
message that is sent twice), `:ended` (a day long the uid of the session that ended
with it: an operator whose watch is late does not make it anew), `:export` (hash: a terminal waits for the
workspace; goes with its gateway).

For the installation: `sessions:epoch` (the mark of a Redis that the operator knows; without it nothing is
decided), `sessions:mailboxes` (set), `sessions:backlog` (set: mailboxes with a message),
`sessions:activity` (sorted set: newest message or turn of each mailbox, in seconds since the epoch),
`sessions:queue` (sorted set: mailboxes that wait for a run, with their place from 1, chats and tasks apart;
written whole, gone two minutes after the operator), `sessions:undelivered` (sorted set: ended mailboxes
whose `outgoing` is still there, with the time of the end), `usage:<user>:<day>` (hash: a user's sums of a
day, 40 days).

The bridge's own, written by it alone: `bridge:lease` (which one works), `bridge:routes` (hash: person →
kind of agent, for good), `messages:<person>:<hour>` (how many they have sent in it), `pairing:codes`,
`pairing:code:<CODE>` and `pairing:person:<id>` (codes that wait, an hour), `pairing:people` (who was let
in by one, as the API server said last). `:sent` also holds `placeholder`: the group's message in whose
place the next answer goes.

The orchestrator's: `engineering:queue` and `deploy:queue` (streams of tasks that no worker has taken, never
trimmed), `task:<id>:events` (stream, about the newest 1000), `outbox:<key>` (an entry of the outbox is in
its stream, 48 hours).

To put in a message by hand: `XADD user:42:incoming * text hello` and `SADD sessions:backlog 42`. It is
served within half a minute (without the second within ten minutes, if the session sleeps).
"""


def contract() -> str:
    """The whole page."""
    named = {f"user:<id>:{name}": model for name, model in PER_MAILBOX.items()}
    return "\n".join([_HEADER, *(_section(*item) for item in (named | PER_INSTALLATION).items())])


def _section(key: str, model: type[Contract]) -> str:
    rows = "\n".join(_rows(model))
    kind = "hash" if model.__name__.endswith("Hash") else "stream"
    return f"## `{key}` ({kind})\n\n{model.__doc__}\n\n| field | | |\n| --- | --- | --- |\n{rows}\n"


def _rows(model: type[Contract]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        optional = "" if field.default is PydanticUndefined else "where it applies"
        yield f"| `{name}` | {field.description} | {optional} |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(contract(), encoding="utf-8")
