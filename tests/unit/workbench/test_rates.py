"""The bench of the API: what is asked, how it is driven, what is said of it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator

import httpx
import pytest

from agentsession_testing.canned_orchestrator import check_request, route_of
from agentsession_testing.clock import Clock
from workbench.bench.figures import Figure, Section, Target, Unit
from workbench.rates.calls import CALLS, Call, Request
from workbench.rates.driving import Driven, drive
from workbench.rates.filling import Size
from workbench.rates.ground import memory_of
from workbench.rates.people import Person, Undeployed, World
from workbench.rates.report import OnDatabase, Rate, page, wrong
from workbench.rates.starts import costs_of
from workbench.rates.words import article_of, words_of

WORLD = World(
    tuple(Person(f"u{n}", f"token-{n}", (n, n + 10), (f"deploy-{n:012x}",)) for n in (1, 2)),
    (Undeployed("token-3", 3),),
)
OF_THE_API = [call for call in CALLS if "/healthz" not in call.title]
REQUEST = Request("GET", "/v1/projects", "t")


@pytest.mark.parametrize("call", OF_THE_API, ids=lambda call: call.title)
def test_what_is_asked_is_what_the_api_has(call: Call) -> None:
    first = call.request(WORLD, 0)
    assert first is not None
    asked = httpx.Request(
        first.method, f"http://api{first.path}", params=first.query, json=first.body
    )
    check_request(route_of(first.method, first.path), asked)
    assert first.headers["authorization"] in {f"Bearer token-{n}" for n in (1, 2, 3)}
    assert ("idempotency-key" in first.headers) is (first.method != "GET")


@pytest.mark.parametrize("call", OF_THE_API, ids=lambda call: call.title)
def test_everybody_asks_and_no_change_is_made_twice(call: Call) -> None:
    found = [call.request(WORLD, n) for n in range(8)]
    made = [one for one in found if one is not None]
    if call.title == "deploy trigger":
        assert found[1:] == [None] * 7
        return
    assert len(made) == 8
    assert {one.token for one in made} == {"token-1", "token-2"}
    changes = [(one.path, json.dumps(one.body), one.key) for one in made if one.method != "GET"]
    assert len(set(changes)) == len(changes)


def test_words_that_are_searched_for_are_in_some_articles() -> None:
    articles = [set(article_of(n).split()) for n in range(300)]
    found = [sum(set(words_of(n).split()) <= words for words in articles) for n in range(50)]
    assert 0 < sum(found) / len(found) < 30


def driven_by(
    answer: Callable[[httpx.Request], httpx.Response], requests: Iterator[Request], seconds: float
) -> Driven:
    clock = Clock()

    def respond(request: httpx.Request) -> httpx.Response:
        clock.now += 0.5
        return answer(request)

    async def go() -> Driven:
        async with httpx.AsyncClient(
            transport=httpx.MockTransport(respond), base_url="http://api"
        ) as client:
            return await drive(client, requests, callers=1, seconds=seconds, clock=clock)

    return asyncio.run(go())


def test_a_closed_loop_until_the_time_is_over() -> None:
    found = driven_by(lambda _: httpx.Response(200), iter([REQUEST] * 9), 2.0)
    assert found.answered == [0.5] * 4
    assert (found.seconds, found.errors) == (2.0, Counter())


def test_it_ends_with_the_last_request() -> None:
    found = driven_by(lambda _: httpx.Response(201), iter([REQUEST] * 3), 100.0)
    assert (len(found.answered), found.seconds) == (3, 1.5)


def test_errors_are_no_answers() -> None:
    def cut(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("cut off")

    answers: Iterator[Callable[[httpx.Request], httpx.Response]] = iter(
        [
            lambda _: httpx.Response(409, json={"code": "port_taken"}),
            lambda _: httpx.Response(502, text="<html>"),
            cut,
            lambda _: httpx.Response(200),
        ]
    )
    found = driven_by(lambda request: next(answers)(request), iter([REQUEST] * 4), 100.0)
    assert found.answered == [0.5]
    assert found.errors == {
        "status 409 port_taken": 1,
        "status 502 and no problem": 1,
        "ReadError": 1,
    }


DRIVEN = Driven(2.0, [n / 1000 for n in range(1, 102)])
GOOD = Rate.of("project list", DRIVEN)
BAD = Rate.of("deploy trigger", Driven(2.0, [], Counter({"status 500 failed": 3})))


def test_a_rate() -> None:
    assert GOOD.row() == ("project list", "50", "51.0", "100.0", "101.0", "101", "0")
    assert BAD.row() == ("deploy trigger", "0", "0.0", "0.0", "0.0", "0", "3")
    assert GOOD.to_json()["p99Milliseconds"] == pytest.approx(100)


def test_the_page() -> None:
    found = [OnDatabase("SQLite 3", (GOOD, BAD), (0.5, 1.25))]
    late = Figure("start", "start", Unit.SECONDS, (0.5,), Target(0.25))
    text = page("Title", "two cores", found, [Section("Starts", (late,))], ["One.", "Two."])
    assert text.splitlines() == [
        "# Title",
        "",
        "Two cores.",
        "",
        "- Missed: start: p50 is 0.500 s, the target is 0.25 s.",
        "- Not measured: SQLite 3, deploy trigger: 3 times status 500 failed",
        "",
        "One.",
        "",
        "Two.",
        "",
        "## SQLite 3, load 0.5 before and 1.2 after",
        "",
        "| call | requests/s | p50, ms | p99, ms | max, ms | n | errors |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| project list | 50 | 51.0 | 100.0 | 101.0 | 101 | 0 |",
        "| deploy trigger | 0 | 0.0 | 0.0 | 0.0 | 0 | 3 |",
        "",
        "## Starts",
        "",
        "|  | n | min | p50 | p95 | max | target |  |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| start, s | 1 | 0.500 | 0.500 | 0.500 | 0.500 | p50 ≤ 0.25 s | missed |",
    ]
    assert list(wrong(found)) == ["SQLite 3, deploy trigger: 3 times status 500 failed"]


def test_what_loading_costs() -> None:
    said = (
        "import time: self [us] | cumulative | imported package\n"
        "import time:       200 |        200 |     httpx._types\n"
        "import time:       300 |        500 |   httpx\n"
        "import time:      1000 |       1000 | click\n"
        "a warning: of somebody's | else\n"
    )
    assert costs_of(said) == pytest.approx({"loading httpx": 0.0005, "loading click": 0.001})


def test_memory() -> None:
    status = "Name:\tpython\nVmHWM:\t  200 kB\nVmRSS:\t  100 kB\nVmData:\t 7 kB\n"
    assert memory_of(status) == {"VmHWM": 204_800, "VmRSS": 102_400}


def test_how_much_there_is() -> None:
    said = Size().sentence()
    assert said.startswith("200 users, 2,000 projects with a port each, 10,000 tasks")
