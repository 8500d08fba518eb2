from __future__ import annotations

from typing import Any

import pytest

from workbench.bench.chats import chat_section, marks_of
from workbench.bench.figures import Marks, judge

BOT, PERSON = {"is_bot": True}, {"is_bot": False}


def entry(kind: str, **data: Any) -> dict[str, Any]:
    return {"kind": kind, "data": data}


def line(units: int) -> dict[str, Any]:
    return {"type": "italic", "offset": 0, "length": units}


@pytest.mark.parametrize(
    ("seen", "marks"),
    [
        (entry("action", action="typing"), ("acknowledged",)),
        (entry("reaction", message_id=1, emoji=["👀"]), ("acknowledged",)),
        (entry("reaction", message_id=1, emoji=[]), ()),
        (entry("draft", text=""), ()),
        (entry("draft", text="You said"), ("first",)),
        (entry("draft", text="Waking…", entities=[line(7)]), ()),
        (entry("draft", text="🔧 Bash", entities=[line(7)]), ()),
        (entry("draft", text="You 🔧", entities=[{**line(2), "offset": 4}]), ("first",)),
        (entry("message", **{"from": PERSON}, text="bench m"), ()),
        (entry("message", **{"from": BOT}, text="part one"), ("first",)),
        (entry("edit", **{"from": BOT}, text="You said: bench m"), ("first", "final")),
        (entry("message", **{"from": BOT}, text="You said: bench m"), ("first", "final")),
        (entry("call", method="sendMessage"), ()),
    ],
)
def test_what_is_in_the_chat_is_read(seen: dict[str, Any], marks: tuple[str, ...]) -> None:
    assert marks_of(seen, "bench m") == marks


def test_warm_and_resumed_have_their_own_targets() -> None:
    warm: Marks = {"written": 0, "acknowledged": 0.02, "message": 0.01, "first": 0.2, "final": 0.3}
    resumed: Marks = {**warm, "hello": 0.9, "first": 1.4, "final": 1.6}
    figures = {figure.key: figure for figure in chat_section([warm], [resumed]).figures}
    verdicts = {
        key: verdict.met
        for key, figure in figures.items()
        if (verdict := judge(figure)) is not None
    }
    assert verdicts == {
        "chat-warm-acknowledged": True,
        "chat-warm-first": False,
        "chat-warm-first-p95": True,
        "chat-resumed-acknowledged": True,
        "chat-resumed-first": True,
        "chat-resumed-first-p95": True,
    }
    assert figures["chat-resumed-final"].values == (1.6,)
    stages = [stage.name for stage in figures["chat-resumed-first"].stages]
    assert stages[1] == "message in Redis → hello"
