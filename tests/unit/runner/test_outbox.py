"""What an agent leaves in `outbox/`, on a real file system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentsession_runner.outbox import LIMIT_BYTES, STOPPED, collect


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    (root / "outbox").mkdir(parents=True)
    (tmp_path / "outside").write_text("the secret")
    return root


def put(root: Path, name: str, content: str = "x", age: int = 0) -> Path:
    file = root / "outbox" / name
    file.write_text(content)
    os.utime(file, (1000 - age, 1000 - age))
    return file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nothing_without_a_folder(tmp_path: Path) -> None:
    assert collect(tmp_path, "t1").names == []
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_goes_first_and_nothing_goes_twice(root: Path) -> None:
    put(root, "b.txt", age=5)
    put(root, "a.txt")
    put(root, ".gitkeep")
    found = collect(root, "t1")
    assert (found.names, found.note()) == (["b.txt", "a.txt"], "")
    assert names(root / "outbox") == [".gitkeep", "sent"]
    assert collect(root, "t2").names == []


def test_a_turn_that_is_done_again_has_what_its_first_attempt_left(root: Path) -> None:
    put(root, "a.txt", "first")
    put(root, "b.txt", "first", age=9)
    collect(root, "t1")
    put(root, "a.txt", "second")
    assert collect(root, "t1").names == ["b.txt", "a.txt"]
    assert (root / "outbox/sent/t1/a.txt").read_text() == "second"


def test_what_is_no_plain_file_is_not_sent_and_not_read(root: Path, tmp_path: Path) -> None:
    outbox = root / "outbox"
    (outbox / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(outbox / "pipe")
    (outbox / "folder").mkdir()
    put(root, "empty", "")
    with put(root, "sparse").open("r+b") as file:
        file.truncate(10 * 1024**3)
    found = collect(root, "t1")
    assert found.names == []
    assert [name for name, _ in found.refused] == ["empty", "folder", "link", "pipe", "sparse"]
    assert (
        "[sparse was not sent: it has 10737.4 MB, and at most 50.0 MB can be sent.]" in found.note()
    )
    assert "pack it into an archive" in found.note()
    assert names(outbox) == ["not-sent"]
    assert collect(root, "t2").note() == ""


def test_of_a_thousand_files_ten_are_sent(root: Path) -> None:
    for number in range(1000):
        put(root, f"{number:04}.txt")
    found = collect(root, "t1")
    assert found.names == [f"{number:04}.txt" for number in range(10)]
    assert len(found.note().splitlines()) == 6
    assert "[985 more were not sent.]" in found.note()


def test_the_largest_size_that_is_sent(root: Path) -> None:
    for name, size in (("fits", LIMIT_BYTES), ("too-large", LIMIT_BYTES + 1)):
        os.truncate(put(root, name), size)
    assert collect(root, "t1").names == ["fits"]


def test_nothing_of_a_stopped_turn_is_sent_later(root: Path) -> None:
    put(root, "a.txt")
    found = collect(root, "t1", STOPPED)
    assert (found.names, found.note()) == ([], "[a.txt was not sent: the work was stopped.]")
    assert collect(root, "t1").names == []


@pytest.mark.parametrize("place", ["outbox", "outbox/sent", "outbox/sent/t1"])
def test_links_in_the_place_of_folders_are_not_followed(
    root: Path, tmp_path: Path, place: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "id_rsa").write_text("the secret")
    put(root, "a.txt")
    if place == "outbox":
        (root / "outbox").rename(root / "kept")
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).symlink_to(elsewhere)
    found = collect(root, "t1")
    assert found.names == []
    assert names(elsewhere) == ["id_rsa"]


def test_an_outbox_of_the_persons_own_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("mail")
    assert collect(tmp_path, "t1").note() == ""
    assert (tmp_path / "outbox").read_text() == "mail"


def test_names_that_are_no_text(root: Path) -> None:
    (root / "outbox" / os.fsdecode(b"\xff.bin")).write_bytes(b"x")
    (root / "outbox" / ("\u202e" + "a" * 200)).mkdir()
    found = collect(root, "t1")
    assert found.names == [os.fsdecode(b"\xff.bin")]
    assert found.note().encode().startswith(b"[aaaa")
