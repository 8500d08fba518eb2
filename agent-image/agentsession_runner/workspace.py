"""The session's volume as the runner uses it: lock, session record, a reserve of space."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard
from uuid import UUID

from agentsession_runner.reports import Problem
from agentsession_runner.safe_files import (
    NEW_FILE_FLAGS,
    ensure_directory,
    open_directory,
    read_small_file,
    remove,
    write_file,
)
from agentsession_runner.workspace_trouble import WorkspaceError, problem_of

RUNNER_DIRECTORY = ".agentsession"
LOCK_FILE = "lock"
SESSION_FILE = "session.json"
# Given back when the volume is full: room for the CLI to start and to save the turn in which a
# person has the agent delete files.
RESERVE_FILE = "reserve"
RESERVE_BYTES = 1024 * 1024
# Below this a reserve would be the reason why the volume is full.
RESERVE_ROOM_BYTES = 4 * RESERVE_BYTES
PROBE_FILE = ".runner-new-probe"
PROBE_BYTES = 64 * 1024
SHORT_BYTES = 4 * PROBE_BYTES
LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
LOCK_RETRY_SECONDS = 0.1


@dataclass(frozen=True)
class StoredSession:
    """What an earlier run left in `session.json`.

    `answered` counts the conversation's turns; `saved_bytes` is the length of its file.
    """

    conversation: int
    agent_session_id: str
    answered: int
    saved_bytes: int = 0


class Workspace:
    """The volume. Nothing below it is trusted: the agent writes there too."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock: int | None = None

    @property
    def root(self) -> Path:
        """The CLI's working directory."""
        return self._root

    @property
    def runner_directory(self) -> Path:
        """The folder of lock, session record and CLI configuration."""
        return self._root / RUNNER_DIRECTORY

    async def lock(self, report: Callable[[str], None]) -> None:
        """Take the volume's lock, waiting as long as another pod holds it; once is enough.

        Raises:
            WorkspaceError: the lock file cannot be made.
        """
        if self._lock is not None:
            return
        descriptor = self._open_lock()
        waited = False
        while not _try_lock(descriptor):
            if not waited:
                waited = True
                report(
                    f"waiting for {self.runner_directory / LOCK_FILE}: "
                    "another pod still uses this workspace"
                )
            await asyncio.sleep(LOCK_RETRY_SECONDS)
        if waited:
            report("the workspace is free now")
        self._lock = descriptor

    def unlock(self) -> None:
        """Give the lock back; the end of the process does the same."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def read_session(self) -> StoredSession | None:
        """The session record, or None if there is none that makes sense."""
        try:
            with open_directory(str(self.runner_directory)) as directory:
                text = read_small_file(SESSION_FILE, directory)
        except OSError:
            return None
        return parse_session(text) if text is not None else None

    def write_session(self, session: StoredSession) -> None:
        """Replace the session record.

        Raises:
            WorkspaceError: the volume is full or not writable.
        """
        content = {
            "conversation": session.conversation,
            "agentSessionID": session.agent_session_id,
            "answered": session.answered,
            "savedBytes": session.saved_bytes,
        }
        try:
            with (
                open_directory(str(self._root)) as root,
                ensure_directory(RUNNER_DIRECTORY, root) as directory,
            ):
                write_file(SESSION_FILE, json.dumps(content) + "\n", directory)
        except OSError as error:
            raise WorkspaceError(f"cannot write {self.runner_directory}", error) from None

    def keep_reserve(self) -> None:
        """Set some space aside, if there is enough and none is yet."""
        try:
            with open_directory(str(self.runner_directory)) as directory:
                if _size(RESERVE_FILE, directory) == RESERVE_BYTES:
                    return
                remove(RESERVE_FILE, directory)
                if self._free_bytes() < RESERVE_ROOM_BYTES:
                    return
                try:
                    _fill(RESERVE_FILE, RESERVE_BYTES, directory)
                except OSError:
                    remove(RESERVE_FILE, directory)
        except OSError:
            # A volume without room for it works without it.
            return

    def release_reserve(self) -> bool:
        """Give the space back; returns whether there was any."""
        try:
            with open_directory(str(self.runner_directory)) as directory:
                held = _size(RESERVE_FILE, directory) is not None
                remove(RESERVE_FILE, directory)
                return held
        except OSError:
            return False

    def is_short(self) -> bool:
        """Whether so little space is left that a write may not fit."""
        try:
            return self._free_bytes() < SHORT_BYTES
        except OSError:
            return True

    def trouble(self) -> Problem | None:
        """Write something and remove it: why the volume refuses, or None if it does not."""
        try:
            with (
                open_directory(str(self._root)) as root,
                ensure_directory(RUNNER_DIRECTORY, root) as directory,
            ):
                remove(PROBE_FILE, directory)
                try:
                    _fill(PROBE_FILE, PROBE_BYTES, directory)
                finally:
                    remove(PROBE_FILE, directory)
        except OSError as error:
            return problem_of(error)
        return None

    def _free_bytes(self) -> int:
        state = os.statvfs(self._root)
        # Some file systems do not count files and say 0 of 0.
        no_inodes = state.f_files > 0 and state.f_favail == 0
        return 0 if no_inodes else state.f_bavail * state.f_frsize

    def _open_lock(self) -> int:
        try:
            with (
                open_directory(str(self._root)) as root,
                ensure_directory(RUNNER_DIRECTORY, root) as directory,
            ):
                if not _is_plain_file(LOCK_FILE, directory):
                    remove(LOCK_FILE, directory)
                elif _mode(LOCK_FILE, directory) not in (None, 0o600):
                    # Not replaced: another pod may hold this very file.
                    os.chmod(LOCK_FILE, 0o600, dir_fd=directory)
                return os.open(LOCK_FILE, LOCK_FLAGS, 0o600, dir_fd=directory)
        except OSError as error:
            raise WorkspaceError(
                f"cannot use the workspace {self._root}, where a writable volume must be mounted",
                error,
            ) from None


def parse_session(text: str) -> StoredSession | None:
    """The session record in a text, or None if any part of it is unfit."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    conversation = content.get("conversation")
    identifier = content.get("agentSessionID")
    answered, saved_bytes = content.get("answered", 0), content.get("savedBytes", 0)
    if not (_is_count(conversation) and _is_count(answered) and _is_count(saved_bytes)):
        return None
    if not is_session_id(identifier):
        return None
    return StoredSession(conversation, identifier, answered, saved_bytes)


def is_session_id(value: object) -> TypeGuard[str]:
    """Whether a value is a UUID in its usual form; only such values become arguments or names."""
    if not isinstance(value, str):
        return False
    try:
        return str(UUID(value)) == value
    except ValueError:
        return False


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _is_plain_file(name: str, directory: int) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return True


def _fill(name: str, size: int, directory: int) -> None:
    """Write a file of real blocks: only what has been written and synced has been given."""
    descriptor = os.open(name, NEW_FILE_FLAGS, 0o600, dir_fd=directory)
    try:
        written = 0
        while written < size:
            written += os.write(descriptor, bytes(size - written))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size(name: str, directory: int) -> int | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_size
    except FileNotFoundError:
        return None


def _mode(name: str, directory: int) -> int | None:
    try:
        return stat.S_IMODE(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
