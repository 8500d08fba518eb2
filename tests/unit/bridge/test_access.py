"""Who is let in: numeric ids alone, deny is the default."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentsession_bridge.access import AccessError, AccessFile, AccessList, read_access
from agentsession_bridge.places import Place
from agentsession_core.pairing import read_code, read_person, spoken

NOBODY: frozenset[int] = frozenset()


@pytest.mark.parametrize("entry", ["ada", "@ada", '"71"', "0", "-71", "7.5"])
def test_anything_but_a_numeric_id_is_refused(entry: str) -> None:
    with pytest.raises(AccessError, match="allowedUsers"):
        read_access(f"allowedUsers: [{entry}]")


def test_a_username_is_told_why_it_is_refused() -> None:
    with pytest.raises(AccessError, match="usernames are refused"):
        read_access("allowedUsers: ['@ada']")


@pytest.mark.parametrize("text", ["", "allowedUsers: []", "{}"])
def test_an_empty_list_lets_nobody_in(text: str) -> None:
    assert not read_access(text).allows(71, Place(71))


def test_a_group_needs_both_the_person_and_the_group() -> None:
    access = AccessList(allowed_users=frozenset({71}), allowed_groups=frozenset({-5}))
    assert access.allows(71, Place(-5))
    assert not access.allows(72, Place(-5))
    assert not access.allows(71, Place(-6))
    # Whoever was let in by a code is a person like those of the list, in their own chat and in groups.
    assert access.allows(72, Place(72), frozenset({72}))
    assert access.allows(72, Place(-5), frozenset({72}))
    assert not access.allows(72, Place(-6), frozenset({72}))
    # Somebody else's private chat is nobody's.
    assert not access.allows(71, Place(72))


def test_a_wrong_change_leaves_the_list_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "access.yaml"
    path.write_text("allowedUsers: [71]")
    file = AccessFile(path)
    file.load()
    for wrong in ("allowedUsers: ['@ada']", "allowedUsers: [2026-99-99]", "["):
        path.write_text(wrong)
        assert file.current().allows(71, Place(71))
    path.write_text("allowedUsers: [72]")
    assert not file.current().allows(71, Place(71))
    path.unlink()
    assert file.current().allows(72, Place(72))


def test_codes_and_people_of_the_config_map() -> None:
    assert spoken("ABCDEFGH") == "ABCD-EFGH"
    assert read_code(" abcd-efgh ") == "ABCDEFGH"
    for wrong in ("", "ABCD", "ABCDEFG0", "ABCD-EFGHJ", "../../etc", "ABCDEFGI"):
        assert read_code(wrong) is None
    assert read_person("user.71") == 71
    for wrong in ("71", "user.", "user.0", "user.-71", "user.ada", "approve.71", "user.071"):
        assert read_person(wrong) is None
