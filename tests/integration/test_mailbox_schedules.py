"""Random schedules of the mailbox scripts on a real Valkey.

`make schedules` is the long form. A failure prints its steps and what plays it again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from agentsession_core.mailbox.connect import connect
from agentsession_testing.mailbox_machine import MailboxMachine
from agentsession_testing.valkey import Valkey

USUALLY = 100
STEPS = 25


@pytest.fixture
def machine(valkey: Valkey) -> Iterator[type[MailboxMachine]]:
    loop = asyncio.new_event_loop()
    redis = connect(valkey.url, None)
    MailboxMachine.loop, MailboxMachine.redis, MailboxMachine.played = loop, redis, 0
    yield MailboxMachine
    loop.run_until_complete(redis.aclose())
    loop.close()


@pytest.mark.random
@pytest.mark.timeout(14400)
def test_any_order_of_calls_keeps_every_message(machine: type[MailboxMachine]) -> None:
    number = int(os.environ.get("RANDOM_EXAMPLES", USUALLY))
    wanted = settings(
        max_examples=number,
        stateful_step_count=STEPS,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    run_state_machine_as_test(machine, settings=wanted)
    print(f"{machine.played} schedules of up to {STEPS} calls")
    assert machine.played >= number
