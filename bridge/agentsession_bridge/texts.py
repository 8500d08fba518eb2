"""What the bridge itself says to people."""

from __future__ import annotations

from typing import Final

from agentsession_core.mailbox.model import Admission

NEW_CONVERSATION: Final = "A new conversation begins. Your files stay."
STOPPING: Final = "Stopping…"
NOTHING_RUNS: Final = "Nothing is running."
WORKSPACE_GONE: Final = (
    "Your agent was deleted after a long silence, and its workspace with it. A new one starts."
)
HELP: Final = (
    "Write to me, and your own agent answers: it has a computer with a workspace of its own.\n\n"
    "/new – begin a new conversation, the files stay\n"
    "/stop – stop what the agent is doing\n"
    "/help – this text"
)
COMMANDS: Final = (
    ("new", "Begin a new conversation, the files stay"),
    ("stop", "Stop what the agent is doing"),
    ("help", "What I can do"),
)


def not_allowed(user_id: int) -> str:
    """To a person who is not on the list."""
    return f"You are not on this bot's list. Ask its operator to add your id: {user_id}"


def full(admission: Admission) -> str:
    """To a person whose message does not fit any more."""
    if admission is Admission.TOO_MANY:
        return "Too many of your messages wait already. Send this one again when some are answered."
    if admission is Admission.UNDELIVERED:
        return "Too many answers for you could not be delivered yet. Send this one again later."
    return (
        "Your waiting messages are too large together. Send this one again when some are answered."
    )


def file_too_large(name: str) -> str:
    """To a person whose file Telegram does not hand on; their agent is told, too."""
    return (
        f"{name} is larger than 20 MB, and Telegram gives a bot nothing larger. Send it in parts."
    )


def file_expired(name: str) -> str:
    """To a person whose agent sent a file that could not be delivered in time."""
    return (
        f"{name} could not be delivered within a day and is gone here. Ask your agent for it again."
    )


def file_refused(name: str) -> str:
    """To a person whose agent sent a file that Telegram does not take."""
    return (
        f"Telegram does not take {name}. Ask your agent to send it otherwise, packed for instance."
    )


def unreadable(kind: str) -> str:
    """To a person who sent something that is no text."""
    return f"I cannot read a {kind}. Please write it as text, or send it as a file."


def refused(reason: str) -> str:
    """To a person whose session the cluster refuses."""
    return (
        f"Your agent cannot be made now: the cluster refuses it ({reason}). Your message is kept."
    )
