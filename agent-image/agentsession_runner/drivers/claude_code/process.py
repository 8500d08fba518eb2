"""One running `claude` and its output."""

from __future__ import annotations

import asyncio

from agentsession_runner.drivers.claude_code.records import Noise, Record, parse_line
from agentsession_runner.drivers.claude_code.turn import TurnCollector
from agentsession_runner.lines import LineSplitter
from agentsession_runner.processes import ChildProcess

DIAGNOSTICS_BYTES = 16 * 1024
DOUBTFUL_RESULT_SECONDS = 2.0


class ClaudeProcess:
    """A process, the session it serves and the turn it is in."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.exit_code: int | None = None
        self.has_answered = False
        self._turn: TurnCollector | None = None
        self._turn_over = asyncio.Event()
        self._child: ChildProcess | None = None
        self._lines = LineSplitter()
        self._diagnostics = bytearray()

    @property
    def child(self) -> ChildProcess:
        """The child process, once started."""
        if self._child is None:
            raise RuntimeError("the process has not been started")
        return self._child

    @property
    def turn(self) -> TurnCollector | None:
        """The turn that runs."""
        return self._turn

    @property
    def is_running(self) -> bool:
        """Whether it can take another prompt."""
        return self._child is not None and self._child.is_running and self.exit_code is None

    @property
    def diagnostics(self) -> str:
        """The end of its stderr and of what was no record on its stdout."""
        return self._diagnostics.decode("utf-8", "replace")

    def attach(self, child: ChildProcess) -> None:
        """The process runs now."""
        self._child = child

    def begin_turn(self, turn: TurnCollector) -> None:
        """Records belong to this turn from now on."""
        self._turn = turn
        self.has_answered = False
        self._turn_over.clear()
        if self.exit_code is not None:
            self._turn_over.set()

    def end_turn(self) -> None:
        """Records belong to no turn; what was said on stderr does not explain the next one."""
        self._turn = None
        self._diagnostics.clear()

    async def turn_over(self) -> None:
        """Wait until the turn has its result or the process has ended."""
        await self._turn_over.wait()

    def take_stdout(self, data: bytes) -> None:
        """Bytes from its stdout; `has_answered` says that some came in this turn."""
        self.has_answered = True
        for line in self._lines.feed(data):
            self._take(parse_line(line))

    def take_stderr(self, data: bytes) -> None:
        """Bytes from its stderr."""
        self._diagnostics += data
        del self._diagnostics[:-DIAGNOSTICS_BYTES]

    def take_end(self, exit_code: int) -> None:
        """It ended and all its output was read."""
        self._take(parse_line(self._lines.rest()))
        self.exit_code = exit_code
        self._turn_over.set()

    def _take(self, record: Record | None) -> None:
        if isinstance(record, Noise):
            self.take_stderr(record.text.encode() + b"\n")
            return
        turn = self._turn
        if record is None or turn is None:
            return
        turn.feed(record)
        if turn.result is not None:
            self._turn_over.set()
        elif turn.doubtful_result is record:
            loop = asyncio.get_running_loop()
            loop.call_later(DOUBTFUL_RESULT_SECONDS, self._accept_doubtful, turn)

    def _accept_doubtful(self, turn: TurnCollector) -> None:
        if turn is self._turn:
            turn.accept_doubtful_result()
            if turn.result is not None:
                self._turn_over.set()
