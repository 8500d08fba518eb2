"""Files below a directory that an agent may have prepared: nothing here follows a link.

Every name is opened relative to an open directory. What stands in the way and is of another kind
is removed; new directories are built beside the old one and exchanged by renaming.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
SCRIPT_MODE = 0o700
SMALL_FILE_BYTES = 64 * 1024

TEMPORARY_PREFIX = ".runner-new-"
DISCARDED_PREFIX = ".runner-old-"


@contextmanager
def open_directory(name: str, parent: int | None = None) -> Iterator[int]:
    """Open a directory that must exist; gives its descriptor.

    Raises:
        OSError: it is missing or no directory.
    """
    descriptor = os.open(name, DIRECTORY_FLAGS, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def ensure_directory(name: str, parent: int) -> Iterator[int]:
    """Open a directory, made if missing; a link or file of that name is replaced by one."""
    mode = _mode(name, parent)
    if mode is not None and not stat.S_ISDIR(mode):
        os.unlink(name, dir_fd=parent)
        mode = None
    if mode is None:
        os.mkdir(name, DIRECTORY_MODE, dir_fd=parent)
    with _open_ours(name, parent) as descriptor:
        yield descriptor


def write_file(name: str, content: str, parent: int, mode: int = FILE_MODE) -> None:
    """Put a file in place atomically, whatever stood there before."""
    temporary = TEMPORARY_PREFIX + name
    remove(temporary, parent)
    _write_new(temporary, content, parent, mode)
    if is_directory(name, parent):
        remove(name, parent)
    os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)


def read_small_file(name: str, parent: int) -> str | None:
    """The text of a regular file of at most 64 KiB; None if there is no such file."""
    try:
        descriptor = os.open(name, READ_FLAGS, dir_fd=parent)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > SMALL_FILE_BYTES:
            return None
        return os.read(descriptor, SMALL_FILE_BYTES).decode()
    except (OSError, UnicodeDecodeError):
        return None
    finally:
        os.close(descriptor)


def replace_tree(
    name: str,
    files: Iterable[tuple[str, str]],
    parent: int,
    links: Mapping[str, str] | None = None,
) -> None:
    """Put a directory of files in place of whatever stood there. Paths must be checked before.

    `links`: symbolic links in it, name to target.
    """
    temporary = TEMPORARY_PREFIX + name
    remove(temporary, parent)
    os.mkdir(temporary, DIRECTORY_MODE, dir_fd=parent)
    with open_directory(temporary, parent) as root:
        for path, content in files:
            _write_below(root, path.split("/"), content)
        for link, target in (links or {}).items():
            os.symlink(target, link, dir_fd=root)
    if _mode(name, parent) is not None:
        discarded = DISCARDED_PREFIX + name
        remove(discarded, parent)
        os.rename(name, discarded, src_dir_fd=parent, dst_dir_fd=parent)
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        remove(discarded, parent)
    else:
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)


def remove(name: str, parent: int) -> None:
    """Remove a file, link or whole directory; missing is fine.

    Raises:
        OSError: it cannot be removed.
    """
    mode = _mode(name, parent)
    if mode is None:
        return
    if not stat.S_ISDIR(mode):
        os.unlink(name, dir_fd=parent)
        return
    with _open_ours(name, parent) as top:
        _empty(top)
    os.rmdir(name, dir_fd=parent)


def names_in(directory: int) -> list[str]:
    """The names in an open directory."""
    return os.listdir(directory)


def _write_below(root: int, parts: list[str], content: str) -> None:
    if len(parts) == 1:
        mode = SCRIPT_MODE if content.startswith("#!") else FILE_MODE
        _write_new(parts[0], content, root, mode)
        return
    with suppress(FileExistsError):
        os.mkdir(parts[0], DIRECTORY_MODE, dir_fd=root)
    with open_directory(parts[0], root) as child:
        _write_below(child, parts[1:], content)


def _write_new(name: str, content: str, parent: int, mode: int) -> None:
    descriptor = os.open(name, NEW_FILE_FLAGS, mode, dir_fd=parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode("utf-8", "replace"))


def _mode(name: str, parent: int) -> int | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None


def is_directory(name: str, parent: int) -> bool:
    """Whether it is a directory itself, not a link to one."""
    mode = _mode(name, parent)
    return mode is not None and stat.S_ISDIR(mode)


def _empty(top: int) -> None:
    """Remove everything in a directory, however deep: an agent can nest deeper than recursion goes.

    What lies two levels down is moved up before its parent goes, so that one directory is open at
    a time.
    """
    moved = 0
    while names := names_in(top):
        for name in names:
            if not is_directory(name, top):
                os.unlink(name, dir_fd=top)
                continue
            with _open_ours(name, top) as directory:
                for child in names_in(directory):
                    if not is_directory(child, directory):
                        os.unlink(child, dir_fd=directory)
                        continue
                    while _mode(f"{DISCARDED_PREFIX}{moved}", top) is not None:
                        moved += 1
                    # A directory without write permission cannot be moved: its `..` changes.
                    os.chmod(child, DIRECTORY_MODE, dir_fd=directory)
                    target = f"{DISCARDED_PREFIX}{moved}"
                    os.rename(child, target, src_dir_fd=directory, dst_dir_fd=top)
            os.rmdir(name, dir_fd=top)


@contextmanager
def _open_ours(name: str, parent: int) -> Iterator[int]:
    """Open a directory whatever rights it has: the agent has the same uid, so a chmod is enough."""
    mode = _mode(name, parent)
    if mode is not None and stat.S_ISDIR(mode) and mode & 0o700 != 0o700:
        os.chmod(name, DIRECTORY_MODE, dir_fd=parent)
    with open_directory(name, parent) as descriptor:
        yield descriptor
