"""A message in the chat → acknowledgement, first byte of the answer, all of it: the whole product."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from workbench.bench.context import Context
from workbench.bench.figures import Figure, Marks, Section, Statistic, Target, Unit, chain, spans
from workbench.bench.messages import WAKING
from workbench.bench.processes import first_start
from workbench.bench.sessions import Session
from workbench.bench.starts import way_through_redis, way_through_the_cluster
from workbench.console import WorkbenchError
from workbench.forward import port_forward
from workbench.install import BENCH_PERSON

ACKNOWLEDGED_SECONDS = 1.0
WARM, WARM_P95 = 0.1, 0.25
RESUMED, RESUMED_P95 = 1.5, 2.5
WAIT_SECONDS = 60.0
# Beyond one message a second a chat is held back, as Telegram does it: that is not what is measured.
REST_SECONDS = 2.0
SUSPEND_AFTER_SECONDS = 4
CLI = "claude"

WAY = {
    "written": "message in the chat",
    **WAKING,
    "first": "first byte in the chat",
    "final": "answer in the chat",
}


@dataclass(frozen=True)
class ChatPage:
    """The stand-in for Telegram, as a person's phone sees it."""

    http: httpx.Client

    def join(self) -> None:
        """The bench's person opens the chat."""
        person = {"id": BENCH_PERSON, "first_name": "Bench"}
        self.http.post("/_control/people", json=person).raise_for_status()

    def write(self, text: str) -> tuple[float, int]:
        """When it was written (Unix seconds), and where the journal stood before."""
        newest = int(self.http.get("/_control/journal", params={"after": 2**53}).json()["last"])
        at = time.time()
        body = {"user_id": BENCH_PERSON, "text": text}
        self.http.post("/_control/messages", json=body).raise_for_status()
        return at, newest

    def seen(self, after: int, marker: str) -> dict[str, float]:
        """When the acknowledgement, the first byte and the whole answer were in the chat.

        Raises WorkbenchError.
        """
        found: dict[str, float] = {}
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            answer = self.http.get(
                "/_control/journal", params={"after": after, "wait": 5, "chat_id": BENCH_PERSON}
            ).json()
            for entry in answer["entries"]:
                after = max(after, entry["sequence"])
                for mark in marks_of(entry, marker):
                    found.setdefault(mark, float(entry["at"]))
            if "final" in found:
                return found
        raise WorkbenchError(
            f"no answer in the chat within {WAIT_SECONDS:.0f} s",
            "write to the page of make demo; the bridge's log says what it waits for",
        )


def marks_of(entry: dict[str, Any], marker: str) -> tuple[str, ...]:
    """What an entry of the stand-in's journal means to who has written the marker."""
    kind, data = entry["kind"], entry["data"]
    if kind == "action" or (kind == "reaction" and data["emoji"]):
        return ("acknowledged",)
    if kind == "draft":
        return ("first",) if data and _is_answer(data) else ()
    if kind in ("message", "edit") and data["from"]["is_bot"]:
        return ("first", "final") if marker in data.get("text", "") else ("first",)
    return ()


def _is_answer(draft: dict[str, Any]) -> bool:
    """Whether a draft shows anything of the answer: the bridge's own word is one line in italics."""
    text = draft.get("text") or ""
    units = len(text.encode("utf-16-le")) // 2
    own = any(
        entity["type"] == "italic" and entity["offset"] == 0 and entity["length"] >= units
        for entity in draft.get("entities") or ()
    )
    return bool(text) and not own


def measure_chats(context: Context) -> Section:
    """Messages through the chat: to a session that is awake, and to one that sleeps.

    Raises WorkbenchError.
    """
    session = Session(context.ground, f"telegram-{BENCH_PERSON}")
    session.delete()
    with _page(context) as page:
        page.join()
        # The first message makes the session, and waits for all that is new.
        _round(context, page)
        warm = [_rested_round(context, page) for _ in range(context.rounds)]
        session.suspend_after(SUSPEND_AFTER_SECONDS)
        resumed = [
            _resumed_round(context, page, session, slept) for slept in range(1, context.rounds + 1)
        ]
    session.delete()
    return chat_section(warm, resumed)


def chat_section(warm: list[Marks], resumed: list[Marks]) -> Section:
    """The figures of both kinds of rounds."""
    figures: list[Figure] = []
    for kind, rounds, p50, p95 in (
        ("warm", warm, WARM, WARM_P95),
        ("resumed", resumed, RESUMED, RESUMED_P95),
    ):
        acknowledged = spans(rounds, "written", "acknowledged")
        first, stages = spans(rounds, "written", "first"), chain(rounds, WAY)
        final = spans(rounds, "written", "final")
        figures += [
            Figure(
                f"chat-{kind}-acknowledged", f"{kind}: acknowledged", Unit.SECONDS, acknowledged,
                Target(ACKNOWLEDGED_SECONDS, Statistic.P95),
            ),
            Figure(
                f"chat-{kind}-first", f"{kind}: first byte", Unit.SECONDS, first, Target(p50),
                stages,
            ),
            Figure(
                f"chat-{kind}-first-p95", f"{kind}: first byte, p95", Unit.SECONDS, first,
                Target(p95, Statistic.P95), bounds=stages,
            ),
            Figure(f"chat-{kind}-final", f"{kind}: all of it", Unit.SECONDS, final),
        ]  # fmt: skip
    return Section(
        "Message in the chat → answer in the chat",
        tuple(figures),
        (
            f"One message in {REST_SECONDS:.0f} s at most: more than one a second a chat is held back.",
            "The scripted model answers at once; its own time is in the last stages.",
        ),
    )


@contextmanager
def _page(context: Context) -> Iterator[ChatPage]:
    names = context.ground.names
    service = f"svc/{names.release}-telegram-server"
    with (
        port_forward(context.ground.cluster, names.namespace, service, 8081) as url,
        httpx.Client(base_url=url, timeout=WAIT_SECONDS, trust_env=False) as http,
    ):
        yield ChatPage(http)


def _round(context: Context, page: ChatPage) -> Marks:
    mailbox = Session(context.ground, str(BENCH_PERSON))
    event, newest = context.mailboxes.newest_event(), context.model.newest()
    marker = uuid.uuid4().hex
    written, before = page.write(f"bench {marker}")
    seen = page.seen(before, marker)
    record = context.model.arrival(newest, marker)
    marks: Marks = {"written": written, "request": float(record["received_at"]), **seen}
    return {**marks, **way_through_redis(context, mailbox, event)}


def _rested_round(context: Context, page: ChatPage) -> Marks:
    time.sleep(REST_SECONDS)
    return _round(context, page)


def _resumed_round(context: Context, page: ChatPage, session: Session, runs: int) -> Marks:
    session.wait_asleep(runs)
    mark = context.audit.mark() if context.audit else None
    marks = _round(context, page)
    processes = session.processes(session.wait_running_pod())
    calls = context.audit.since(mark) if context.audit and mark else []
    made = min((p.started_at for p in processes if p.pid == 1), default=None)
    inside = {"process_made": made, "cli_started": first_start(processes, CLI)}
    return {**marks, **way_through_the_cluster(calls, session), **inside}
