from __future__ import annotations

from agentsession_operator.relists import WITNESSES, Relists


def listed(relists: Relists, *uids: str, namespace: str = "agents") -> bool:
    return any([relists.saw("jobs", namespace, uid, listed=True, deleted=False) for uid in uids])


def told(relists: Relists, uid: str, *, deleted: bool = False) -> bool:
    return relists.saw("jobs", "agents", uid, listed=False, deleted=deleted)


def test_the_first_list_is_the_start() -> None:
    relists = Relists()
    assert not listed(relists, *"abcdefghijklmnop")
    assert not listed(relists, "a", namespace="elsewhere")


def test_a_list_with_one_that_was_there_is_another() -> None:
    relists = Relists()
    listed(relists, *(str(n) for n in range(100)))
    assert listed(relists, "90", "91", str(WITNESSES - 1))


def test_one_that_only_the_watch_told_of_is_known_too() -> None:
    relists = Relists()
    assert not told(relists, "a")
    assert not told(relists, "a")
    assert listed(relists, "a")


def test_witnesses_that_went_are_replaced() -> None:
    relists = Relists()
    listed(relists, *(str(n) for n in range(WITNESSES)))
    for n in range(WITNESSES):
        told(relists, str(n), deleted=True)
    assert not listed(relists, "0"), "a new object, for all that is known"
    told(relists, "new")
    assert listed(relists, "new")
