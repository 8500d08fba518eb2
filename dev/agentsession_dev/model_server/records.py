"""What was asked of the server: a bounded list that tests can wait on."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import Literal

from pydantic import BaseModel, Field

from agentsession_dev.model_server.conversation import Conversation, Kind, Purpose

MAX_RECORDS = 500
MAX_BODIES = 20
MAX_TEXTS = 50
MAX_TEXT_CHARACTERS = 4_000
RECORDED_HEADERS = (
    "accept",
    "accept-encoding",
    "anthropic-beta",
    "anthropic-version",
    "content-length",
    "content-type",
    "user-agent",
    "x-app",
    "x-claude-code-agent-id",
    "x-claude-code-session-id",
    "x-stainless-retry-count",
)

Outcome = Literal["pending", "complete", "cut", "reset", "client_gone"]


class RecordedRequest(BaseModel):
    """One request. Times are Unix seconds of the server's clock; texts are shortened.

    ``header_names`` holds every header's name, ``headers`` the values of an allow-list only: a
    credential's value is never kept.
    """

    sequence: int = 0
    received_at: float
    method: str
    path: str
    query: str = ""
    kind: Kind = "side"
    purpose: Purpose = "endpoint"
    credential: Literal["x-api-key", "bearer", "none"]
    key_valid: bool
    headers: dict[str, str]
    header_names: list[str]
    body_bytes: int = 0
    model: str | None = None
    stream: bool | None = None
    message_count: int = 0
    user_texts: list[str] = Field(default_factory=list)
    last_user_text_characters: int = 0
    last_user_text_sha256: str | None = None
    tool_result: str | None = None
    tools: list[str] = Field(default_factory=list)
    request_id: str = ""
    rule: str | None = None
    step: int | None = None
    status: int | None = None
    outcome: Outcome = "pending"
    first_byte_at: float | None = None
    finished_at: float | None = None

    def describe(
        self,
        conversation: Conversation,
        *,
        model: str,
        tools: tuple[str, ...],
        stream: bool,
    ) -> None:
        """Add what the body says."""
        self.model = model
        self.stream = stream
        self.tools = list(tools)
        self.message_count = conversation.message_count
        texts = conversation.user_texts[-MAX_TEXTS:]
        self.user_texts = [text[:MAX_TEXT_CHARACTERS] for text in texts]
        newest = conversation.last_user_text
        self.last_user_text_characters = len(newest)
        self.last_user_text_sha256 = hashlib.sha256(
            newest.encode(errors="surrogatepass")
        ).hexdigest()
        if conversation.ends_with_tool_result:
            self.tool_result = conversation.tool_result[:MAX_TEXT_CHARACTERS]


class RequestLog:
    """The newest requests, in order of arrival, with waiting instead of polling.

    It belongs to one event loop. Sequence numbers start at 1 and never start again.
    """

    def __init__(self) -> None:
        self._records: deque[RecordedRequest] = deque(maxlen=MAX_RECORDS)
        self._bodies: dict[int, bytes] = {}
        self._last_sequence = 0
        self._changed = asyncio.Condition()

    @property
    def last_sequence(self) -> int:
        """Return the number of the newest request, 0 before the first."""
        return self._last_sequence

    async def add(self, record: RecordedRequest, body: bytes) -> None:
        """Number and keep a request and wake those who wait for one."""
        self._last_sequence += 1
        record.sequence = self._last_sequence
        self._records.append(record)
        self._bodies[record.sequence] = body
        while len(self._bodies) > MAX_BODIES:
            del self._bodies[min(self._bodies)]
        await self.notify()

    async def notify(self) -> None:
        """Wake those who wait, after a record has changed."""
        async with self._changed:
            self._changed.notify_all()

    def body(self, sequence: int) -> bytes | None:
        """Return the body of one of the newest requests, or None if it is not kept."""
        return self._bodies.get(sequence)

    def clear(self) -> None:
        """Forget all requests; numbering goes on."""
        self._records.clear()
        self._bodies.clear()

    def after(
        self, sequence: int, wanted: Callable[[RecordedRequest], bool]
    ) -> list[RecordedRequest]:
        """Return the kept requests with a greater number that are wanted, oldest first."""
        return [record for record in self._records if record.sequence > sequence and wanted(record)]

    async def wait_after(
        self, sequence: int, wanted: Callable[[RecordedRequest], bool], seconds: float
    ) -> list[RecordedRequest]:
        """Return as ``after``, waiting up to ``seconds`` until there is at least one."""
        async with self._changed:
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait_for(lambda: bool(self.after(sequence, wanted)))
            except TimeoutError:
                return []
        return self.after(sequence, wanted)


def recorded_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of the allow-list."""
    return {name: headers[name] for name in RECORDED_HEADERS if name in headers}
