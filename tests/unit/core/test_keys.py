"""Every key that is named in the code stands in the page about Redis, and nobody else names one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agentsession_core.mailbox import keys
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.reference import contract

SCRIPTS = Path(keys.__file__).parent / "scripts"
INSTALLATION = {value for name, value in vars(keys).items() if name.isupper() and ":" in str(value)}
OF_MAILBOX = {
    getattr(MailboxKeys("<id>"), name)
    for name, found in vars(MailboxKeys).items()
    if isinstance(found, property)
}


def test_keys_are_found() -> None:
    assert "sessions:queue" in INSTALLATION
    assert "user:<id>:incoming" in OF_MAILBOX


@pytest.mark.parametrize("key", sorted(INSTALLATION))
def test_page_names_the_keys_of_the_installation(key: str) -> None:
    assert f"`{key}`" in contract()


@pytest.mark.parametrize("key", sorted(OF_MAILBOX))
def test_page_names_the_keys_of_a_mailbox(key: str) -> None:
    assert {f"`{key}`", f"`{key.removeprefix('user:<id>')}`"} & set(
        re.findall("`[^`]*`", contract())
    )


def test_page_names_keys_that_are_made_of_more() -> None:
    box = MailboxKeys("<id>")
    for key in (
        box.seen("<source>", "<id>").removeprefix("user:<id>"),
        box.file("<turn>.<number>").removeprefix("user:<id>"),
        keys.daily_usage("<user>", "<day>"),
        keys.task_events("<id>"),
        keys.published("<key>"),
    ):
        assert f"`{key}`" in contract()


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.lua")), ids=lambda path: path.stem)
def test_scripts_write_no_other_keys(script: Path) -> None:
    named = re.findall(r"'((?:sessions|outgoing):[a-z]+)'", script.read_text(encoding="utf-8"))
    assert set(named) <= INSTALLATION
