"""What the operator makes of the API server's answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import ServerDisconnectedError

from agentsession_core.kube import ApiError
from agentsession_operator.cluster import Cluster
from agentsession_operator.cluster_errors import (
    ClusterError,
    ConflictError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)

Answer = tuple[int, object] | tuple[int, object, dict[str, str]] | Exception
PODS = "/api/v1/namespaces/agents/pods"


class PlayedApi:
    """Gives one answer after the other, and remembers what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, str]] = []

    async def call(
        self, method: str, path: str, body: None, *, query: dict[str, str], **_: Any
    ) -> Any:
        assert (path, method, body) == (PODS, "GET", None)
        self.asked.append(dict(query))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, said, headers = (*answer, {})[:3]
        if status >= 400:
            text = said if isinstance(said, str) else json.dumps(said)
            raise ApiError(status, "", text, headers)
        return said


def cluster(*answers: Answer) -> tuple[Cluster, PlayedApi]:
    api = PlayedApi(*answers)
    return Cluster(api), api  # type: ignore[arg-type]


def page(name: str, token: str = "") -> dict[str, Any]:
    return {"metadata": {"continue": token}, "items": [{"metadata": {"name": name}}]}


async def names(found: Cluster, *, ours_only: bool = False) -> list[list[str]]:
    """The names of a list's objects, by page."""
    return [
        [body["metadata"]["name"] for body in page.bodies]
        async for page in found.list_pages(PODS, ours_only=ours_only)
    ]


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        ((403, {"message": "pods is forbidden"}), RefusedError, "HTTP 403: pods is forbidden"),
        ((404, {"message": "no"}), NotFoundError, "HTTP 404: no"),
        ((409, {"message": "no"}), ConflictError, "HTTP 409: no"),
        ((422, {"message": "no"}), RefusedError, "HTTP 422: no"),
        ((500, "a webhook failed"), ClusterError, "HTTP 500: a webhook failed"),
        ((401, {"message": "Unauthorized"}), UnavailableError, "HTTP 401: Unauthorized"),
        ((429, {"message": "later"}), UnavailableError, "HTTP 429: later"),
        ((502, "<html>"), UnavailableError, "HTTP 502: <html>"),
        ((503, "[1]"), UnavailableError, "HTTP 503: [1]"),
        ((504, ""), UnavailableError, "HTTP 504: "),
        (ServerDisconnectedError(), UnavailableError, "HTTP 0: ServerDisconnectedError"),
        (TimeoutError(), UnavailableError, "HTTP 0: no answer within 30 s"),
        (ConnectionRefusedError("refused"), UnavailableError, "HTTP 0: ConnectionRefusedError"),
    ],
)
async def test_errors_say_whose_they_are(
    answer: Answer, kind: type[ClusterError], message: str
) -> None:
    found, _ = cluster(answer)
    with pytest.raises(ClusterError) as caught:
        await names(found)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("0", 0.0), ("86400", 60.0), ("-5", 0.0), ("tomorrow", None), (None, None)],
)
async def test_how_long_to_wait_is_heard_within_reason(
    header: str | None, seconds: float | None
) -> None:
    headers = {} if header is None else {"Retry-After": header}
    found, _ = cluster((429, {}, headers))
    with pytest.raises(UnavailableError) as caught:
        await names(found)
    assert caught.value.retry_after == seconds


async def test_a_list_is_read_page_by_page() -> None:
    found, api = cluster((200, page("a", "more")), (200, page("b", "yet more")), (200, page("c")))
    assert await names(found, ours_only=True) == [["a"], ["b"], ["c"]]
    assert [asked.get("continue") for asked in api.asked] == [None, "more", "yet more"]
    assert {asked["limit"] for asked in api.asked} == {"500"}
    assert all("labelSelector" in asked for asked in api.asked)


async def test_a_list_that_the_api_server_forgot_between_two_pages_is_read_again() -> None:
    found, api = cluster((200, page("a", "more")), (410, {}), (200, page("x", "")))
    pages = [page async for page in found.list_pages(PODS, ours_only=False)]
    assert [page.begins_anew for page in pages] == [True, True]
    assert pages[-1].bodies == [{"metadata": {"name": "x"}}]
    assert [asked.get("continue") for asked in api.asked] == [None, "more", None]
