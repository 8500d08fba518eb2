"""The workspace as a tar, read from the volume piece by piece.

Nothing on the volume is trusted: the agent may change it meanwhile. Every name is opened relative to
an open directory and never through a link, so that nothing from outside of the workspace gets in. A
link is written down as the link it is.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agentsession_runner.safe_files import DIRECTORY_FLAGS, READ_FLAGS
from agentsession_runner.workspace import RUNNER_DIRECTORY

PIECE_BYTES = 256 * 1024
BLOCK_BYTES = 512
# Each level holds an open directory.
DEPTH_LIMIT = 200
LEFT_OUT_FILE = "EXPORT-LEFT-OUT.txt"
LEFT_OUT_NAMES = 1000


@dataclass
class Archive:
    """One walk over a workspace. `left_out` has what is not in the tar, and why."""

    root: Path
    left_out: list[str] = field(default_factory=list)
    files: int = 0

    def pieces(self) -> Iterator[bytes]:
        """The tar. Raises OSError when the workspace itself cannot be read.

        The runner's own folder stays out: it holds the conversation, other people's words too
        (docs/adr/0009). What could not be read is named in a file at the tar's end.
        """
        yield from self._walk()
        if self.left_out:
            yield from self._note()
        yield b"\0" * (2 * BLOCK_BYTES)

    def _walk(self) -> Iterator[bytes]:
        top = os.open(self.root, DIRECTORY_FLAGS)
        opened = [(top, "", iter(_names(top, "")))]
        try:
            while opened:
                directory, prefix, names = opened[-1]
                name = next(names, None)
                if name is None:
                    os.close(opened.pop()[0])
                    continue
                path = prefix + name
                if path == RUNNER_DIRECTORY:
                    continue
                try:
                    below = yield from self._member(directory, name, path, len(opened))
                except OSError as error:
                    self._leave_out(path, error.strerror or type(error).__name__)
                    continue
                if below is not None:
                    opened.append((below, f"{path}/", iter(_names(below, path))))
        finally:
            for directory, _, _ in opened:
                os.close(directory)

    def _member(
        self, directory: int, name: str, path: str, depth: int
    ) -> Generator[bytes, None, int | None]:
        """Yields the member; returns the descriptor of a directory to go into."""
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            if depth >= DEPTH_LIMIT:
                self._leave_out(path, f"more than {DEPTH_LIMIT} folders deep")
                return None
            below = os.open(name, DIRECTORY_FLAGS, dir_fd=directory)
            yield _header(path, os.fstat(below), tarfile.DIRTYPE)
            return below
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(name, dir_fd=directory)
            yield _header(path, status, tarfile.SYMTYPE, target=target)
        elif stat.S_ISREG(status.st_mode):
            yield from self._file(directory, name, path)
        else:
            self._leave_out(path, "no file, folder or link")
        return None

    def _file(self, directory: int, name: str, path: str) -> Iterator[bytes]:
        descriptor = os.open(name, READ_FLAGS, dir_fd=directory)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                self._leave_out(path, "no file any more")
                return
            yield _header(path, status, tarfile.REGTYPE, size=status.st_size)
            yield from self._content(descriptor, path, status.st_size)
        finally:
            os.close(descriptor)
        self.files += 1

    def _content(self, descriptor: int, path: str, size: int) -> Iterator[bytes]:
        """Exactly as many bytes as the header says, whatever becomes of the file meanwhile."""
        left = size
        while left:
            try:
                piece = os.read(descriptor, min(left, PIECE_BYTES))
            except OSError as error:
                piece = b""
                self._leave_out(path, f"from byte {size - left} on: {error.strerror}")
            if not piece:
                break
            left -= len(piece)
            yield piece
        while left:
            piece = b"\0" * min(left, PIECE_BYTES)
            left -= len(piece)
            yield piece
        yield b"\0" * (-size % BLOCK_BYTES)

    def _note(self) -> Iterator[bytes]:
        lines = self.left_out[:LEFT_OUT_NAMES]
        more = len(self.left_out) - len(lines)
        if more:
            lines = [*lines, f"and {more} more"]
        text = "Not in this archive:\n" + "\n".join(lines) + "\n"
        content = text.encode("utf-8", "replace")
        info = tarfile.TarInfo(LEFT_OUT_FILE)
        info.size = len(content)
        yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        yield content + b"\0" * (-len(content) % BLOCK_BYTES)

    def _leave_out(self, path: str, why: str) -> None:
        self.left_out.append(f"{path}: {why}")


def _names(directory: int, path: str) -> list[str]:
    names = sorted(os.listdir(directory))
    # An earlier export's note is not this one's.
    return [name for name in names if path or name != LEFT_OUT_FILE]


def _header(
    path: str, status: os.stat_result, kind: bytes, *, size: int = 0, target: str = ""
) -> bytes:
    info = tarfile.TarInfo(path)
    info.type = kind
    info.size = size
    info.linkname = target
    info.mode = stat.S_IMODE(status.st_mode)
    info.mtime = int(status.st_mtime)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
