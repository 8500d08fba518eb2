"""Which kind of agent a person gets."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from agentsession_bridge.routing import decide
from agentsession_core.settings import (
    Route,
    RoutingSettings,
    Settings,
    SettingsError,
    with_cli_agent,
)

PEOPLE = [str(number) for number in range(1000)]


def shares(percent: int) -> set[str]:
    settings = RoutingSettings(cli_agent_percent=percent, other_template="legacy")
    return {user for user in PEOPLE if decide(user, settings) is Route.CLI_AGENT}


def test_a_percentage_is_about_so_many_people_and_a_larger_one_takes_nobody_away() -> None:
    assert shares(0) == set()
    assert shares(100) == set(PEOPLE)
    ten, half = shares(10), shares(50)
    assert 60 < len(ten) < 140
    assert 440 < len(half) < 560
    assert ten < half


def test_who_is_on_the_list_gets_it_unless_nobody_does() -> None:
    listed = RoutingSettings(
        cli_agent_percent=0, cli_agent_users=frozenset({"7"}), other_template="legacy"
    )
    assert decide("7", listed) is Route.CLI_AGENT
    assert decide("8", listed) is Route.OTHER
    off = listed.model_copy(update={"use_cli_agent": False})
    assert decide("7", off) is Route.OTHER


def test_others_need_a_template_of_their_own() -> None:
    for wrong in ({"use_cli_agent": False}, {"cli_agent_percent": 99}):
        with pytest.raises(ValidationError, match="otherTemplate"):
            RoutingSettings.model_validate(wrong)


def test_the_environment_comes_first() -> None:
    settings = Settings.model_validate({"bridge": {"routing": {"otherTemplate": "legacy"}}})
    assert with_cli_agent(settings, "") is settings
    assert not with_cli_agent(settings, "false").bridge.routing.use_cli_agent
    assert with_cli_agent(settings, "True").bridge.routing.use_cli_agent
    for value, of in (("yes", settings), ("false", Settings())):
        with pytest.raises(SettingsError, match="USE_CLI_AGENT"):
            with_cli_agent(of, value)
