"""The API server's audit log: who wrote what, and when, counted where it cannot be forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

WRITING_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True)
class Call:
    """One request to the API server. `at` is when it came in, in Unix seconds."""

    at: float
    user: str
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    status: int

    @property
    def is_write(self) -> bool:
        return self.verb in WRITING_VERBS

    @property
    def what(self) -> str:
        """The call in a few words, e.g. `patch agentsessions/status`."""
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        refused = f" (HTTP {self.status})" if self.status >= 400 else ""
        return f"{self.verb} {resource}{refused}"


def read_call(line: str) -> Call | None:
    """One line of the log; None if it is none of a request's end or was cut off in writing."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if entry.get("stage") != "ResponseComplete":
        return None
    target = entry.get("objectRef", {})
    return Call(
        at=datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp(),
        user=entry.get("user", {}).get("username", ""),
        verb=entry.get("verb", ""),
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        status=int(entry.get("responseStatus", {}).get("code", 0)),
    )


def writes(calls: Iterable[Call], user: str, namespace: str, session: str) -> list[Call]:
    """A user's writes to a session and to what carries its name, in their order."""
    found = [
        call
        for call in calls
        if call.is_write
        and call.user == user
        and call.namespace == namespace
        and _belongs_to(call.name, session)
    ]
    return sorted(found, key=lambda call: call.at)


def without_events(calls: Iterable[Call]) -> list[Call]:
    """The calls that are no Events."""
    return [call for call in calls if call.resource != "events"]


def counted(calls: Iterable[Call]) -> dict[str, int]:
    """How often each kind of call was made, most often first."""
    counts: dict[str, int] = {}
    for call in calls:
        counts[call.what] = counts.get(call.what, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def find_time(calls: Iterable[Call], verb: str, resource: str, name: str) -> float | None:
    """When such a call on an object first came in. `resource` may have a `/subresource`.

    A pod is named after its Job: `name` may be the beginning of the object's name.
    """
    kind, _, part = resource.partition("/")
    moments = [
        call.at
        for call in calls
        if (call.verb, call.resource, call.subresource) == (verb, kind, part)
        and _belongs_to(call.name, name)
        and call.status < 400
    ]
    return min(moments, default=None)


def _belongs_to(name: str, owner: str) -> bool:
    # `bench-a` owns `bench-a-r1` and the Event `bench-a.17ab`, but not `bench-ab`.
    return name == owner or name.startswith((f"{owner}-", f"{owner}."))


class AuditLog:
    """The log of a cluster on this machine."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def mark(self) -> Mark:
        """Where the log ends now."""
        state = self._file.stat()
        return Mark(state.st_ino, state.st_size)

    def since(self, mark: Mark) -> list[Call]:
        """The calls that were logged after the mark, over rotations of the log."""
        return [call for line in self._lines(mark) if (call := read_call(line)) is not None]

    def _lines(self, mark: Mark) -> Iterator[str]:
        # A rotated file keeps its inode and gets the time into its name: audit-<time>.log.
        kept = [path for path in self._file.parent.glob(f"{self._file.stem}-*{self._file.suffix}")]
        files = [*sorted(kept), self._file]
        marked = [i for i, path in enumerate(files) if path.stat().st_ino == mark.inode]
        for index, path in enumerate(files[marked[0] if marked else 0 :]):
            with path.open("rb") as file:
                if marked and index == 0:
                    file.seek(mark.size)
                for line in file:
                    yield line.decode(errors="replace")


@dataclass(frozen=True)
class Mark:
    """An end of the log at some moment."""

    inode: int
    size: int
