"""Stands in for the `claude` program: the same records, and misbehaviour by prompt.

The first word of a prompt chooses: `die`, `silent` (ends without a record), `wait` (until it is
interrupted), `deaf` (never ends, not even by SIGTERM, with a child in a session of its own), `orphan`,
`noise`, `giant`, `foreign` (a turn of its own first), `mute` (says nothing about starting), `unfit`,
`status N`, `tool`, `unsaved`, `slow` (asks the model again without streaming), `gated` (until a file
`open` is there), `closed` (closes its stdout and goes on, with a child in a session of its own), `flood`
(a line of 80 MiB), `cut` (`gated`, then its model call was refused); else it echoes. A file `pace`
beside the program holds how many seconds an echo takes at most.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

USAGE = {"input_tokens": 10, "output_tokens": 5}


def say(record: dict[str, Any]) -> None:
    print(json.dumps(record), flush=True)


def result(session_id: str, **fields: Any) -> None:
    usual = {"subtype": "success", "is_error": False, "session_id": session_id}
    say({"duration_ms": 1, **usual, "terminal_reason": "completed", **fields, "type": "result"})


def failure(session_id: str, reason: str, *errors: str) -> None:
    result(
        session_id,
        subtype="error_during_execution",
        is_error=True,
        terminal_reason=reason,
        errors=list(errors),
    )


def stream(event: dict[str, Any]) -> None:
    say({"type": "stream_event", "event": event, "parent_tool_use_id": None})


def answer(message_id: str, text: str) -> None:
    stream({"type": "message_start", "message": {"id": message_id}})
    stream({"type": "content_block_start", "content_block": {"type": "text", "text": ""}})
    half = max(len(text) // 2, 1)
    for piece in (text[:half], text[half:]):
        stream({"type": "content_block_delta", "delta": {"type": "text_delta", "text": piece}})
    assistant(message_id, [{"type": "text", "text": text}])


def assistant(message_id: str, content: list[dict[str, Any]], model: str = "claude-x") -> None:
    message = {"id": message_id, "role": "assistant", "model": model, "content": content}
    say({"type": "assistant", "message": message, "parent_tool_use_id": None})


class Session:
    """One fake session: its file, and the prompts in it."""

    def __init__(self, session_id: str, file: Path) -> None:
        self.id = session_id
        self.file = file

    def save(self, prompt: str) -> int:
        """Append a prompt; returns how many there are."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as file:
            file.write(json.dumps({"prompt": prompt}) + "\n")
        return len(self.file.read_text().splitlines())


def option(name: str) -> str | None:
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None


def main() -> int:
    home = Path(os.environ["CLAUDE_CONFIG_DIR"], "projects", "-workspace")
    resumed, chosen = option("--resume"), option("--session-id")
    session_id = resumed or chosen or ""
    session = Session(session_id, home / f"{session_id}.jsonl")
    if resumed and not session.file.exists():
        text = f"No conversation found with session ID: {session_id}"
        print(text, file=sys.stderr)
        failure(session_id, "error", text)
        return 1
    if chosen and session.file.exists():
        print(f"Error: Session ID {session_id} is already in use.", file=sys.stderr)
        return 1
    lines = iter(sys.stdin.readline, "")
    for line in lines:
        record = json.loads(line)
        if record["type"] == "user":
            code = take_prompt(session, record, lines)
            if code is not None:
                return code
    return 0


def take_prompt(session: Session, record: dict[str, Any], lines: Iterator[str]) -> int | None:
    prompt = record["message"]["content"]
    word = prompt.split(" ", 1)[0].split("\n", 1)[0]
    if word == "foreign":
        answer("msg_foreign", "words that nobody asked for")
        result(session.id, result="words that nobody asked for")
    if word != "mute":
        say({"type": "command_lifecycle", "command_uuid": record["uuid"], "state": "started"})
    say({"type": "system", "subtype": "init", "session_id": session.id})
    behaviour = BEHAVIOURS.get(word, echo)
    return behaviour(session, prompt, lines)


def pace() -> float:
    file = Path(sys.argv[0]).with_name("pace")
    return float(file.read_text()) if file.exists() else 0.0


def echo(session: Session, prompt: str, lines: Iterator[str]) -> int | None:
    count = session.save(prompt)
    text = f"{count}: {prompt}"
    time.sleep(random.uniform(0, pace()))  # noqa: S311 - a pace, no secret
    answer(f"msg_{count}", text)
    result(session.id, result=text)
    return None


def die(session: Session, prompt: str, lines: Iterator[str]) -> int | None:
    session.save(prompt)
    answer("msg_die", "I was about to")
    print("boom: out of luck", file=sys.stderr, flush=True)
    return 7


def silent(session: Session, prompt: str, lines: Iterator[str]) -> int | None:
    return 0


def wait(session: Session, prompt: str, lines: Iterator[str]) -> int | None:
    session.save(prompt)
    answer("msg_wait", "waiting")
    for line in lines:
        record = json.loads(line)
        if record["type"] == "control_request":
            break
    failure(session.id, "aborted_streaming", "[diagnostic] interrupted")
    return None


def deaf(session: Session, prompt: str, lines: Iterator[str]) -> int | None:
    session.save(prompt)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    Path("deaf-child").write_text(str(child.pid))
    answer("msg_deaf", "deaf")
    while True:
        time.sleep(60)


def orphan(session: Session, prompt: str, lines: Iterator[str]) -> int | None:
    command = ["sh", "-c", "(sleep 0.1; touch orphan-done) >/dev/null 2>&1 &"]
    subprocess.run(command, check=True, start_new_session=True)
    return echo(session, prompt, lines)


def noise(session: Session, prompt: str, lines: Iterator[str]) -> int | None:
    print("this is no record", flush=True)
    print('{"half": ', flush=True)
    print("[1, 2]", flush=True)
    return echo(session, prompt, lines)


def giant(session: Session, prompt: str, lines: Iterator[str]) -> int | None:
    say({"type": "user", "message": {"content": "x" * 3_000_000}})
    return echo(session, prompt, lines)


def unfit(session: Session, prompt: str, lines: Iterator[str]) -> int | None:
    session.save(prompt)
    answer("msg_unfit", "what I said")
    say({"type": "result", "subtype": "success", "result": 7})
    return None


def status(session: Session, prompt: str, lines: Iterator[str]) -> int | None:
    session.save(prompt)
    code = int(prompt.split()[1])
    assistant("msg_s", [{"type": "text", "text": f"API Error: {code}"}], model="<synthetic>")
    text = f"API Error: {code}"
    result(
        session.id, is_error=True, api_error_status=code, terminal_reason="api_error", result=text
    )
    return None


def tool(session: Session, prompt: str, lines: Iterator[str]) -> int | None:
    use = {"type": "tool_use", "name": "Bash", "input": {"command": "ls", "description": "List"}}
    assistant("msg_t", [use])
    return echo(session, prompt, lines)


def unsaved(session: Session, prompt: str, lines: Iterator[str]) -> int | None:
    answer("msg_u", "gone soon")
    result(session.id, result="gone soon")
    return None


def slow(session: Session, prompt: str, lines: Iterator[str]) -> int | None:
    session.save(prompt)
    assistant("msg_slow", [{"type": "text", "text": "not streamed"}])
    result(session.id, result="not streamed")
    return None


def gated(session: Session, prompt: str, lines: Iterator[str]) -> int | None:
    answer("msg_gated", "working")
    Path("started").touch()
    while not Path("open").exists():
        time.sleep(0.01)
    return echo(session, prompt, lines)


def closed(session: Session, prompt: str, lines: Iterator[str]) -> int | None:
    session.save(prompt)
    answer("msg_closed", "my last words")
    child = subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=subprocess.DEVNULL)
    Path("closed-child").write_text(str(child.pid))
    os.close(1)
    while True:
        time.sleep(60)


def flood(session: Session, prompt: str, lines: Iterator[str]) -> int | None:
    for _ in range(80):
        os.write(1, b"x" * 1024 * 1024)
    os.write(1, b"\n")
    return echo(session, prompt, lines)


def cut(session: Session, prompt: str, lines: Iterator[str]) -> int | None:
    session.save(prompt)
    answer("msg_cut", "I work")
    Path("started").touch()
    while not Path("open").exists():
        time.sleep(0.01)
    text = "API Error: Connection refused (ECONNREFUSED)"
    result(session.id, is_error=True, terminal_reason="api_error", result=text)
    return None


BEHAVIOURS: dict[str, Callable[[Session, str, Iterator[str]], int | None]] = {
    "die": die,
    "silent": silent,
    "wait": wait,
    "deaf": deaf,
    "orphan": orphan,
    "noise": noise,
    "giant": giant,
    "unfit": unfit,
    "status": status,
    "tool": tool,
    "unsaved": unsaved,
    "slow": slow,
    "gated": gated,
    "closed": closed,
    "flood": flood,
    "cut": cut,
}


if __name__ == "__main__":
    sys.exit(main())
