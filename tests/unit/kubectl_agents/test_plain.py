"""Times, tables, errors, what reaches a terminal."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest

from kubectl_agents.errors import Exit
from kubectl_agents.follow import Say, Tone
from kubectl_agents.kubectl import failure
from kubectl_agents.screen import Screen, harmless
from kubectl_agents.tables import render, rows
from kubectl_agents.times import ago, moment, span, until

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"), (0, "0s"), (59.9, "59s"), (60, "1m"), (61, "1m1s"), (3599, "59m59s"),
        (3600, "1h"), (3660, "1h1m"), (86_399, "23h59m"), (86_400, "1d"), (90_000, "1d1h"),
    ],
)  # fmt: skip
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_moments() -> None:
    assert moment("2026-11-25T12:00:00Z") == moment(NOW.timestamp()) == NOW
    assert moment(None) is moment("") is moment("soon") is None
    assert until(NOW + timedelta(seconds=5), NOW) == "in 5s (at 12:00:05 UTC)"
    assert until(NOW, NOW) == "now"
    assert ago(NOW - timedelta(hours=2), NOW) == "2h ago"
    assert ago(None, NOW) == "-"


def test_the_table() -> None:
    session = {
        "metadata": {"name": "ada"},
        "spec": {"user": {"id": "42"}},
        "status": {
            "phase": "Idle",
            "conditions": [{"type": "Ready", "status": "True", "reason": "RunnerConnected"}],
            "lastActivityTime": "2026-11-25T11:59:00Z",
            "suspendTime": "2026-11-25T12:04:00Z",
            "usage": {"turns": 3},
        },
    }
    fresh = {"metadata": {"name": "b"}, "spec": {"user": {"id": "7"}}}
    assert render(rows([session, fresh], NOW)).splitlines() == [
        "NAME   USER   PHASE   WHY               ACTIVITY   SLEEPS   DELETED   TURNS",
        "ada    42     Idle    RunnerConnected   1m ago     in 4m    -         3",
        "b      7      -       -                 -          -        -         0",
    ]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (
            'Error from server (NotFound): agentsessions.agentsession.dev "x" not found',
            Exit.NOT_FOUND,
        ),
        ('Error from server (Forbidden): pods is forbidden: User "eve" cannot', Exit.NOT_ALLOWED),
        ("error: You must be logged in to the server (Unauthorized)", Exit.NOT_ALLOWED),
        ("The connection to the server localhost:8080 was refused - did you", Exit.UNREACHABLE),
        ("Unable to connect to the server: dial tcp: lookup x: no such host", Exit.UNREACHABLE),
        ('error: the server doesn\'t have a resource type "agentsessions"', Exit.NOT_FOUND),
        ("error: context was not found for specified context: nope", Exit.USAGE),
        ('error: context "nope" does not exist', Exit.USAGE),
        ("", Exit.FAILED),
        ("error: something else", Exit.FAILED),
    ],
)
def test_what_kubectl_says_becomes_an_error_with_a_next_step(said: str, code: Exit) -> None:
    error = failure(said)
    assert error.code is code
    assert error.cause
    assert error.next_step
    assert "Error from server" not in error.cause


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 漢 🙂\n\ttext", "plain ä 漢 🙂\n\ttext"),
        ("\x1b[2J\x1b]0;title\x07red", "[2J]0;titlered"),
        ("a\rb\x9b1mc", "ab1mc"),
        ("line\r\nend", "line\nend"),
        ("left\u202eright\u2066", "leftright"),
    ],
)
def test_nothing_an_agent_says_moves_the_cursor(text: str, shown: str) -> None:
    assert harmless(text) == shown


def test_the_screen_says_things_in_order() -> None:
    out = io.StringIO()
    screen = Screen(out)
    screen.busy("no spinner where there is no terminal")
    screen.say(Say(Tone.TEXT, "I lo"), Say(Tone.TEXT, "ok"), Say(Tone.TOOL, "Bash [red]ls\x1b[0m"))
    screen.say(Say(Tone.TEXT, "done"))
    screen.note("bye")
    assert out.getvalue() == "I look\n⚙ Bash [red]ls[0m\ndone\n· bye\n"
