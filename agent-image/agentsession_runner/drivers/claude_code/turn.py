"""One turn's records gathered into one answer. No I/O."""

from __future__ import annotations

from agentsession_runner.drivers.base import Observer
from agentsession_runner.drivers.claude_code.records import (
    AssistantMessage,
    BlockStart,
    Record,
    ResultRecord,
    Started,
    StreamStart,
    TextDelta,
)

BETWEEN_BLOCKS = "\n\n"


class TurnCollector:
    """Follows the records from a prompt to its result.

    The CLI may run turns that no message of ours asked for (a task in the background ended): a
    result before it said that it `started` on our message belongs to such a turn.
    """

    def __init__(self, message_id: str, observer: Observer) -> None:
        self.message_id = message_id
        self.started = False
        self.interrupted = False
        self.result: ResultRecord | None = None
        self.doubtful_result: ResultRecord | None = None
        self._observer = observer
        self._said: list[str] = []
        self._streamed: set[str] = set()

    @property
    def said(self) -> str:
        """What the agent said so far."""
        return "".join(self._said)

    def feed(self, record: Record) -> None:
        """Take one record; `result` is set once the turn is over."""
        if isinstance(record, Started):
            self._start(record)
        elif isinstance(record, ResultRecord):
            self._end(record)
        elif isinstance(record, StreamStart):
            self._streamed.add(record.message_id)
        elif isinstance(record, BlockStart):
            if self._said:
                self._say(BETWEEN_BLOCKS)
        elif isinstance(record, TextDelta):
            self._say(record.text)
        elif isinstance(record, AssistantMessage):
            self._take_message(record)

    def accept_doubtful_result(self) -> None:
        """Nothing else came: this CLI does not say when it starts on a message."""
        if self.result is None:
            self.result = self.doubtful_result

    def _start(self, record: Started) -> None:
        if record.message_id == self.message_id:
            self.started = True
            self.doubtful_result = None

    def _end(self, record: ResultRecord) -> None:
        if self.started or self.interrupted:
            self.result = record
        else:
            self.doubtful_result = record

    def _take_message(self, message: AssistantMessage) -> None:
        if message.text and message.message_id not in self._streamed and not message.is_synthetic:
            # The CLI asked the model again without streaming.
            if self._said:
                self._say(BETWEEN_BLOCKS)
            self._say(message.text)
        for tool in message.tools:
            if self.started:
                self._observer.tool(tool.name, tool.summary)

    def _say(self, text: str) -> None:
        if self.started:
            self._said.append(text)
            self._observer.text(text)
