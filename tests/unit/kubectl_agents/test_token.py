"""When a token is asked for anew."""

from __future__ import annotations

import httpx
import pytest

from agentsession_testing.clock import Clock
from kubectl_agents.tunnel import TOKEN_SECONDS, TOKEN_USED_SECONDS, TokenAuth


@pytest.fixture
def clock() -> Clock:
    return Clock()


def client(clock: Clock, accepted: set[str]) -> tuple[httpx.Client, list[str]]:
    given: list[str] = []

    def request_token() -> str:
        given.append(f"token-{len(given) + 1}")
        return given[-1]

    def answer(request: httpx.Request) -> httpx.Response:
        token = request.headers["authorization"].removeprefix("Bearer ")
        return httpx.Response(200 if token in accepted else 401)

    auth = TokenAuth(request_token, clock)
    return httpx.Client(auth=auth, transport=httpx.MockTransport(answer)), given


def test_one_token_serves_until_it_is_old(clock: Clock) -> None:
    http, given = client(clock, {"token-1", "token-2"})
    for clock.now in (0.0, 100.0, TOKEN_USED_SECONDS - 1):
        assert http.get("http://gateway").status_code == 200
    assert given == ["token-1"]
    clock.now = TOKEN_USED_SECONDS
    assert http.get("http://gateway").status_code == 200
    assert given == ["token-1", "token-2"]
    # What is used has minutes left: the gateway looks at it at the beginning only.
    assert TOKEN_USED_SECONDS + 120 <= TOKEN_SECONDS


def test_a_used_token_that_is_refused_is_replaced_once(clock: Clock) -> None:
    accepted = {"token-1"}
    http, given = client(clock, accepted)
    assert http.get("http://gateway").status_code == 200
    accepted.clear()
    accepted.add("token-2")
    assert http.get("http://gateway").status_code == 200
    accepted.clear()
    assert http.get("http://gateway").status_code == 401
    assert given == ["token-1", "token-2", "token-3"]


def test_a_new_token_that_is_refused_is_not_tried_again(clock: Clock) -> None:
    http, given = client(clock, set())
    assert http.get("http://gateway").status_code == 401
    assert given == ["token-1"]
