from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsession_runner.file_names import NAME_BYTES, numbered, safe_name


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [
        ("report.pdf", "report.pdf"),
        ("Grüße an alle.txt", "Grüße_an_alle.txt"),
        ("漢字 (1).png", "漢字_(1).png"),
        ("../../etc/passwd", "passwd"),
        ("/etc/shadow", "shadow"),
        ("C:\\Windows\\win.ini", "win.ini"),
        ("..", "file"),
        ("...", "file"),
        ("", "file"),
        ("/", "file"),
        (".bashrc", "bashrc"),
        ("-rf", "rf"),
        ("a\0b\nc.txt", "abc.txt"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("a\u200bb", "ab"),
        ("$(reboot).sh", "(reboot).sh"),
        ("`id`;x|y&z.txt", "id__x_y_z.txt"),
        ("half\ud800.txt", "half.txt"),
        ("🎉.png", "png"),
        ("name.", "name"),
    ],
)
def test_names(given_name: str, expected: str) -> None:
    assert safe_name(given_name) == expected


def test_a_long_name_keeps_its_ending_and_whole_characters() -> None:
    name = safe_name("\u202e" + "ä漢" * 60 + ".tar.gz")
    assert name.endswith(".gz")
    assert len(name.encode()) <= NAME_BYTES
    assert len(safe_name("x" * 300)) == NAME_BYTES
    assert len(safe_name("x." + "y" * 300)) == NAME_BYTES


@given(st.text(max_size=400))
def test_every_name_is_one_place_in_the_folder(name: str) -> None:
    found = safe_name(name)
    assert found
    assert 0 < len(found.encode()) <= NAME_BYTES
    assert not found.startswith((".", "-"))
    assert found.isprintable()
    assert not set(found) & set("/\\\0 \n'\"$`*?<>|&;")
    assert safe_name(found) == found


@pytest.mark.parametrize(
    ("number", "name", "expected"),
    [
        (1, "a.txt", "a.txt"),
        (2, "a.txt", "a-2.txt"),
        (2, "a", "a-2"),
        (3, "a.tar.gz", "a.tar-3.gz"),
    ],
)
def test_numbered(number: int, name: str, expected: str) -> None:
    assert numbered(name, number) == expected
