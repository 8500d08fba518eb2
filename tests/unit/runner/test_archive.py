"""The workspace as a tar: whole, exact, and nothing from outside."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from agentsession_runner.archive import DEPTH_LIMIT, LEFT_OUT_FILE, PIECE_BYTES, Archive


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    (tmp_path / "outside").write_text("the secret")
    return root


def read(root: Path) -> tuple[tarfile.TarFile, Archive]:
    archive = Archive(root)
    content = b"".join(archive.pieces())
    assert len(content) % 512 == 0
    assert content.endswith(b"\0" * 1024)
    return opened(content), archive


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def opened(content: bytes) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(content))


def test_files_folders_and_links(root: Path) -> None:
    (root / "a").mkdir(mode=0o750)
    (root / "a" / "run.sh").write_text("#!/bin/sh\n")
    (root / "a" / "run.sh").chmod(0o755)
    (root / "empty").touch()
    (root / "exact").write_bytes(b"x" * 512)
    (root / "ünïcödé 漢").write_text("ä")
    (root / "link").symlink_to("../outside")
    os.utime(root / "empty", (1000, 1000))
    tar, archive = read(root)
    assert tar.getnames() == ["a", "a/run.sh", "empty", "exact", "link", "ünïcödé 漢"]
    assert (tar.getmember("a").mode, tar.getmember("a/run.sh").mode) == (0o750, 0o755)
    assert tar.getmember("empty").mtime == 1000
    assert tar.extractfile("exact").read() == b"x" * 512  # type: ignore[union-attr]
    link = tar.getmember("link")
    assert (link.issym(), link.linkname) == (True, "../outside")
    assert (archive.files, archive.left_out) == (4, [])


def test_an_empty_workspace(root: Path) -> None:
    assert read(root)[0].getnames() == []


def test_the_runners_own_folder_stays_out(root: Path) -> None:
    (root / ".agentsession" / "claude-code").mkdir(parents=True)
    (root / ".agentsession" / "claude-code" / "words.jsonl").write_text("the secret")
    (root / "sub" / ".agentsession").mkdir(parents=True)
    assert read(root)[0].getnames() == ["sub", "sub/.agentsession"]


def test_a_large_file_comes_in_pieces(root: Path) -> None:
    content = os.urandom(3 * PIECE_BYTES + 7)
    (root / "large").write_bytes(content)
    assert max(len(piece) for piece in Archive(root).pieces()) <= PIECE_BYTES
    assert read(root)[0].extractfile("large").read() == content  # type: ignore[union-attr]


def test_what_is_no_file_is_named(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
        tar, archive = read(root)
    assert tar.getnames() == [LEFT_OUT_FILE]
    assert archive.left_out == ["pipe: no file, folder or link", "socket: no file, folder or link"]
    note = tar.extractfile(LEFT_OUT_FILE)
    assert note is not None
    assert "pipe: no file" in note.read().decode()


def test_folders_beyond_any_depth(root: Path) -> None:
    deep = root
    for _ in range(DEPTH_LIMIT + 5):
        deep = deep / "d"
        deep.mkdir()
    before = open_files()
    tar, archive = read(root)
    assert len(tar.getnames()) == DEPTH_LIMIT
    assert [line.partition(": ")[2] for line in archive.left_out] == [
        f"more than {DEPTH_LIMIT} folders deep"
    ]
    assert open_files() == before


@pytest.mark.parametrize("longer", [False, True])
def test_a_file_that_changes_while_it_is_read(root: Path, longer: bool) -> None:
    file = root / "log"
    file.write_bytes(b"a" * (2 * PIECE_BYTES))
    (root / "zz").write_text("after it")
    pieces = Archive(root).pieces()
    content = next(pieces) + next(pieces)
    file.write_bytes(b"b" * (3 * PIECE_BYTES if longer else 10))
    content += b"".join(pieces)
    tar = opened(content)
    assert tar.getmember("log").size == 2 * PIECE_BYTES
    assert tar.extractfile("zz").read() == b"after it"  # type: ignore[union-attr]


def test_a_folder_that_becomes_a_link_is_not_followed(root: Path) -> None:
    (root / "a").write_text("first")
    (root / "b").mkdir()
    pieces = Archive(root).pieces()
    content = next(pieces)
    (root / "b").rmdir()
    (root / "b").symlink_to("..")
    content += b"".join(pieces)
    tar = opened(content)
    assert tar.getmember("b").issym()
    assert b"the secret" not in content


def test_a_walk_that_is_given_up_leaves_nothing_open(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a" / "file").write_text("x")
    before = open_files()
    pieces = Archive(root).pieces()
    next(pieces)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert open_files() == before
