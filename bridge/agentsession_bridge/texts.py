"""What the bridge itself says to people."""

from __future__ import annotations

from typing import Final

from agentsession_core.mailbox.answers import Admission
from agentsession_core.pairing import spoken

NEW_CONVERSATION: Final = "A new conversation begins. Your files stay."
STOPPING: Final = "Stopping…"
NOTHING_RUNS: Final = "Nothing is running."
WORKSPACE_GONE: Final = (
    "Your agent was deleted after a long silence, and its workspace with it. A new one starts."
)
STOP_BUTTON: Final = "Stop"
KEEP_BUTTON: Final = "Keep"
AGREE_BUTTON: Final = "Agree"
REFUSE_BUTTON: Final = "Refuse"
PASSED_ON: Final = "Passed on…"
BUTTON_OVER: Final = "This button is over."
NOT_YOURS: Final = "This bot does not know you."
KEPT: Final = "Kept: the time begins anew."
TOO_LATE: Final = "Too late: it is being deleted already."
NO_AGENT: Final = "You have no agent yet: write to me, and it starts."
THINKING: Final = "Thinking…"
WAKING: Final = "Waking your agent…"
CUT_OFF: Final = "Your agent was interrupted. It starts again and goes on…"
EDITED_TOO_LATE: Final = (
    "Your agent works on this as it was before. It gets the new text as its next message."
)
WELCOME: Final = "You are let in. Write to me, and your own agent answers; /help says more."
UNAVAILABLE: Final = "The cluster does not answer. Your message is kept, it is tried again…"
BACK: Final = "Back in the conversation before. /resume once more returns to the other one."
BUSY: Final = "Your agent has work. Say /resume again when it is done, or /stop it."
NOTHING_BEFORE: Final = "There is no conversation to go back to."
HELP: Final = (
    "Write to me, and your own agent answers: it has a computer with a workspace of its own.\n\n"
    "/new – begin a new conversation, the files stay\n"
    "/resume – back to the conversation before\n"
    "/stop – stop what the agent is doing\n"
    "/status – what the agent is doing\n"
    "/usage – what it has used\n"
    "/keep – keep agent and files although nothing happens\n"
    "/help – this text"
)
COMMANDS: Final = (
    ("new", "Begin a new conversation, the files stay"),
    ("stop", "Stop what the agent is doing"),
    ("status", "What the agent is doing"),
    ("usage", "What the agent has used"),
    ("keep", "Keep agent and files although nothing happens"),
    ("resume", "Back to the conversation before"),
    ("help", "What I can do"),
)


def again(attempt: int) -> str:
    """In the place of an answer whose turn was cut off."""
    return f"Your agent was interrupted and tries again (attempt {attempt})…"


def queued(position: int | None) -> str:
    """In the place of an answer while the cluster is full."""
    place = f"you are number {position} in the queue" if position else "you are in the queue"
    return f"All agents' places are taken: {place}."


def not_starting(why: str) -> str:
    """In the place of an answer while the agent cannot be started."""
    return f"Your agent cannot be started now, it is tried again: {why}" if why else WAKING


def not_allowed(user_id: int) -> str:
    """To a person who is not on the list."""
    return f"You are not on this bot's list. Ask its operator to add your id: {user_id}"


def pairing(code: str, user_id: int) -> str:
    """To a person who is not on the list, with their code."""
    return (
        f"I do not know you yet. Your code is {spoken(code)}, for an hour: whoever runs this bot lets you "
        f"in with\n\nkubectl agents approve {spoken(code)}\n\nYour id: {user_id}"
    )


def too_often(minutes: int) -> str:
    """To a person who has sent as many messages as they may in an hour."""
    return (
        "You have sent as many messages as one may in an hour. This one was not taken: send it again "
        f"in {minutes} min."
    )


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
