from __future__ import annotations

import uuid

import pytest

from sessionload.generator import Kind
from sessionload.laying import Model, _Copy
from sessionload.openload import Load
from sessionload.scale import MOVES, Size
from sessionload.wakes import grows


def size(sessions: int, lives: int, *idle_at: int) -> Size:
    return Size(
        sessions=sessions,
        lives=lives,
        idle_seconds=1,
        step_seconds=1,
        wake_seconds=1,
        seed=1,
        moves=tuple(MOVES),
        idle_at=idle_at,
    )


def test_idle_sessions_are_measured_after_the_first_lives_in_between_and_with_all() -> None:
    assert size(10_000, 200).steps() == [200, 1000, 5000, 10_000]
    assert size(20, 10).steps() == [10, 20]
    assert size(10_000, 20, 20, 3000, 20_000).steps() == [20, 3000, 10_000]
    assert size(5, 5).steps() == [5]


def test_a_try_is_smaller_in_everything() -> None:
    assert [size(n, 2).of(1000) for n in (100, 1000, 10_000)] == [100, 1000, 1000]
    assert size(10, 2).of(20) == 5


@pytest.mark.parametrize(
    ("backlog", "growing"),
    [
        ([0.0] * 30, False),
        ([float(number) for number in range(60)], True),
        ([30.0] * 30, False),
        # A few more of few are chance.
        ([1.0] * 20 + [8.0] * 10, False),
        ([5.0] * 20 + [20.0] * 10, True),
        ([50.0] * 10 + [20.0] * 20, False),
        ([], False),
    ],
)
def test_a_backlog_grows_when_its_end_lies_clearly_above_its_middle(
    backlog: list[float], growing: bool
) -> None:
    assert grows(backlog) is growing


def test_a_copy_differs_from_its_model_in_names_and_uids_and_in_no_length() -> None:
    name, uids = "session-to-be-copied-0", tuple(str(uuid.uuid4()) for _ in range(3))
    stored = {
        f"/registry/sessions/agents/{name}".encode(): f"{uids[0]} {name}".encode(),
        f"/registry/volumes/pvc-{uids[1]}".encode(): f"\x05{uids[1]}\x00{uids[2]}".encode(),
    }
    model = Model(name, uids, stored, {"mailbox": {"session_uid": uids[0]}}, {}, None)
    first, second = _Copy(model, 7), _Copy(model, 8)
    assert len(first.name) == len(name)
    for (key, value), (copied_key, copied) in zip(stored.items(), first.objects(), strict=True):
        assert (len(key), len(value)) == (len(copied_key), len(copied))
        assert key != copied_key
        assert value != copied
    assert first.fields("mailbox")["session_uid"] in first.objects()[0][1].decode()
    assert not set(first.objects()) & set(second.objects())


def test_a_load_is_a_rate_for_a_time_or_a_burst() -> None:
    at_a_rate = Load(Kind.COLD, 5.0, 100.0, 3, 1, 0, "")
    at_once = Load(Kind.WARM, None, 100.0, 3, 1, 0, "")
    assert 400 < len(at_a_rate.moments()) < 600
    assert at_once.moments() == [0.0, 0.0, 0.0]
    assert (at_a_rate.pattern, at_once.pattern) == ("poisson 5/s", "burst of 3")
