"""Redis' answers to the mailbox scripts as values. Pure; reads RESP2 and RESP3 alike."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from agentsession_core.api.values import TurnOutcome
from agentsession_core.mailbox.contract import FileReference
from agentsession_core.mailbox.model import (
    ExportRecord,
    FailureRecord,
    LastTurnRecord,
    MailboxEvent,
    MailboxState,
    RunRecord,
    RunState,
    TurnRecord,
    UsageRecord,
)
from agentsession_core.wire import TurnFile, TurnMessage


def read_streams(answer: Any) -> Iterable[tuple[Any, list[tuple[Any, dict[Any, Any]]]]]:
    """(stream, entries) of an XREAD's answer."""
    # RESP3 answers a mapping whose values are wrapped in one more list, RESP2 a list of pairs.
    if isinstance(answer, dict):
        return [(name, entries[0]) for name, entries in answer.items()]
    return answer or []


def read_text(value: Any) -> str:
    """A bulk or simple string as text; bytes that are no UTF-8 become U+FFFD.

    Anyone may XADD such bytes by hand: an error here would stop the mailbox for good.
    """
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def read_fields(flat: Any) -> dict[str, str]:
    """A hash or an entry's fields as text, from a mapping or a flat list."""
    if isinstance(flat, dict):
        return {read_text(k): read_text(v) for k, v in flat.items()}
    parts = [read_text(part) for part in flat]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def read_message(entry: dict[str, str]) -> TurnMessage:
    """A message as `begin_turn.lua` writes it; files that are none are left out."""
    items = _items(entry["files"])
    return TurnMessage(
        id=entry["id"],
        text=entry["text"],
        files=tuple(item for item in items if isinstance(item, str)),
        # Without `ref`: what the source calls a file is nothing that a run has to know.
        attachments=tuple(
            TurnFile(id=file.id, name=file.name, size=file.size, kind=file.kind)
            for file in read_references(entry["files"])
        ),
    )


def read_references(value: str) -> list[FileReference]:
    """The files of an entry of `incoming`; what is none is left out."""
    found = []
    for item in _items(value):
        with suppress(ValidationError):
            found.append(FileReference.model_validate(item))
    return found


def read_event(entry_id: Any, fields: dict[Any, Any]) -> MailboxEvent:
    """An entry of a mailbox's events; data that is no JSON object is empty."""
    entry = read_fields(fields)
    try:
        data = json.loads(entry.get("data", ""))
    except (ValueError, RecursionError):
        data = {}
    return MailboxEvent(
        id=read_text(entry_id),
        turn=entry.get("turn", ""),
        kind=entry.get("kind", ""),
        # An entry of an older release names none: it is shown to nobody.
        source=entry.get("source", ""),
        data=data if isinstance(data, dict) else {},
        seq=int(entry["seq"]) if entry.get("seq", "").isdecimal() else 0,
    )


def _items(value: str) -> list[Any]:
    try:
        items = json.loads(value)
    except (ValueError, RecursionError):
        return []
    return items if isinstance(items, list) else []


def _number(value: str | None) -> float | None:
    return float(value) if value else None


def read_state(answer: list[Any]) -> MailboxState:
    """The answer of `state.lua`."""
    waiting, mailbox, run, turn, last, usage, prompt, activity, epoch, now, oldest, *rest = answer
    export, ended = rest
    box = read_fields(mailbox)
    return MailboxState(
        waiting=int(waiting),
        closed=box.get("state") == "closed",
        session_uid=box.get("session"),
        conversation=int(box.get("conversation", "1")),
        agent_session_id=box.get("agent_session_id"),
        run=_run_record(read_fields(run)),
        turn=_turn_record(read_fields(turn)),
        last=_last_record(read_fields(last)),
        failure=_failure_record(box),
        usage=_usage_record(read_fields(usage)),
        prompt_hash=read_fields(prompt).get("sha256"),
        last_activity=_number(read_text(activity)),
        epoch=read_text(epoch) or None,
        now=float(read_text(now)),
        waiting_since=_entry_time(read_text(oldest)),
        held_told="held_told" in box,
        user=box.get("user"),
        reopened="reopened" in box,
        source=box.get("source"),
        chat=box.get("chat"),
        warned=int(box["warned"]) if "warned" in box else None,
        warned_at=_number(box.get("warned_at")),
        rebuilt_at=_number(box.get("rebuilt_at")),
        handled=box.get("handled"),
        lost_message=box.get("lost_message"),
        export=read_export(read_fields(export)),
        ended=read_text(ended) or None,
    )


def read_export(export: dict[str, str]) -> ExportRecord | None:
    """A mailbox's `export` hash."""
    if "id" not in export:
        return None
    return ExportRecord(export["id"], export.get("address", ""), export.get("run"))


def _entry_time(entry_id: str) -> float | None:
    """When an entry came: an id of Redis' own making begins with the milliseconds."""
    return int(entry_id.partition("-")[0]) / 1000 if entry_id else None


def _run_record(run: dict[str, str]) -> RunRecord | None:
    if "run" not in run:
        return None
    return RunRecord(
        run=run["run"],
        state=RunState(run.get("state", RunState.OPEN)),
        begun_at=float(run.get("begun_at", "0")),
        pod_uid=run.get("pod_uid"),
        pod=run.get("pod"),
        hello_at=_number(run.get("hello_at")),
        drained_at=_number(run.get("drained_at")),
        bye_at=_number(run.get("bye_at")),
        why=run.get("why"),
        last_turn="last_turn" in run,
        launch=run.get("launch", "cold"),
        turns=int(run.get("turns", "0")),
        skill_problem=run.get("skill_problem", ""),
    )


def _turn_record(turn: dict[str, str]) -> TurnRecord | None:
    if "turn" not in turn:
        return None
    return TurnRecord(
        turn=turn["turn"],
        run=turn["run"],
        source=turn["source"],
        attempt=int(turn["attempt"]),
        started_at=float(turn["started_at"]),
        deadline=float(turn["deadline"]),
        messages=len(json.loads(turn["ids"])),
        cancelled_at=_number(turn.get("cancelled_at")),
        cut_run=turn.get("cut_run"),
        deaths=int(turn.get("deaths", "0")),
        evictions=int(turn.get("evictions", "0")),
    )


def _last_record(last: dict[str, str]) -> LastTurnRecord | None:
    if "turn" not in last:
        return None
    return LastTurnRecord(
        turn=last["turn"],
        run=last["run"],
        source=last["source"],
        outcome=TurnOutcome(last["outcome"]),
        reply=last["reply"],
        error_code=last["error_code"],
        error_message=last["error_message"],
        model_status=int(last["model_status"]) if last["model_status"] else None,
        started_at=float(last["started_at"]),
        finished_at=float(last["finished_at"]),
        message_id=last["message_id"],
        # Absent in what an older release wrote.
        model_code=last.get("model_code", ""),
        model_detail=last.get("model_detail", ""),
        entry=last.get("entry", ""),
        came_at=float(last["came_at"]) if last.get("came_at") else None,
        launch=last.get("launch", ""),
    )


def _failure_record(box: dict[str, str]) -> FailureRecord | None:
    if "failures" not in box:
        return None
    return FailureRecord(
        count=int(box["failures"]),
        run=box["failed_run"],
        reason=box["failure"],
        at=float(box["failed_at"]),
        message=box.get("failure_message", ""),
    )


def _usage_record(usage: dict[str, str]) -> UsageRecord:
    cost = usage.get("cost_nanousd")
    return UsageRecord(
        turns=int(usage.get("turns", "0")),
        input_tokens=int(usage.get("input_tokens", "0")),
        output_tokens=int(usage.get("output_tokens", "0")),
        cost_nanousd=int(cost) if cost is not None and "unpriced" not in usage else None,
    )
