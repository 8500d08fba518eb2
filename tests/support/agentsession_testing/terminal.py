"""A program at a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

CTRL_C, CTRL_D = "\x03", "\x04"
LEAVE_SECONDS = 10.0


class Terminal:
    """What a person sees and types."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self._process = process
        self._master = master
        self._unread = ""
        self.seen = ""

    def type(self, keys: str) -> None:
        """Presses keys; a line ends in \\r."""
        os.write(self._master, keys.encode())

    def expect(self, text: str, seconds: float = 30) -> str:
        """Reads until the text is there; answers what stood before it. Fails with all that was seen."""
        ends = time.monotonic() + seconds
        while text not in self._unread:
            left = ends - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(f"{text!r} was not seen within {seconds} s in:\n{self.seen}")
        before, _, self._unread = self._unread.partition(text)
        return before

    def wait(self, seconds: float = 30) -> int:
        """The exit code."""
        ends = time.monotonic() + seconds
        while self._read(max(0.0, ends - time.monotonic())):
            pass
        try:
            return self._process.wait(max(1.0, ends - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {seconds} s:\n{self.seen}") from None

    def _read(self, seconds: float) -> bool:
        """False at the end of the time or of the program."""
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:
            # How a pseudo-terminal says that nobody is at its other end.
            return False
        text = data.decode(errors="replace")
        self.seen += text
        self._unread += text
        return bool(data)


@contextmanager
def at_terminal(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Runs a program at a terminal of its own; it is ended with the block."""
    master, slave = pty.openpty()

    def make_it_mine() -> None:
        # ctrl-c comes from the terminal: it has to be the one that controls the program.
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        # A shell's background job, such as these tests may be, ignores ctrl-c, and so would its children.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = subprocess.Popen(
        command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**environment, "TERM": "xterm", "COLUMNS": "120"},
        start_new_session=True,
        preexec_fn=make_it_mine,
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        # The program is told so as a person's is when the window is closed.
        os.close(master)
        try:
            process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
