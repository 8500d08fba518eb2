"""The chat page's routes: what the page may do, and who may not act through it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from click.testing import CliRunner

from agentsession_dev.telegram_server.__main__ import main
from agentsession_dev.telegram_server.browsers import refusal
from agentsession_dev.telegram_server.server import serve_in_thread
from agentsession_dev.telegram_server.service import Settings


@pytest.fixture
def page() -> Iterator[httpx.Client]:
    settings = Settings(token="1:t", first_message_id=900, people=((42, "You"),))
    with (
        serve_in_thread(settings) as url,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        yield client


def test_the_page_lets_nothing_in_but_its_own(page: httpx.Client) -> None:
    for path in ("/", "/assets/chat.js", "/assets/chat.css"):
        policy = page.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    html = page.get("/").text
    assert "<style" not in html
    assert "onclick" not in html
    assert "innerHTML" not in page.get("/assets/chat.js").text


def test_people_are_there_from_the_start_and_ids_begin_where_they_are_told(
    page: httpx.Client,
) -> None:
    assert [person["id"] for person in page.get("/people").json()] == [42]
    sent = page.post("/_control/messages", json={"user_id": 42, "text": "hi"}).json()
    assert sent["message_id"] == 900


OWN, OTHER = "http://localhost:8081", "http://evil.example"


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"host": "agentsession-telegram-server:8081"}, False),
        ({"host": "localhost:8081", "origin": OWN, "sec-fetch-site": "same-origin"}, False),
        ({"host": "localhost:8081", "sec-fetch-site": "none"}, False),
        ({"host": "127.0.0.1:8081", "origin": "http://127.0.0.1:8081"}, False),
        ({"host": "[::1]:8081", "origin": "http://[::1]:8081"}, False),
        ({"host": "localhost:8081", "origin": OTHER, "sec-fetch-site": "cross-site"}, True),
        ({"host": "localhost:8081", "origin": "null"}, True),
        ({"host": "localhost:8081", "sec-fetch-site": "cross-site"}, True),
        ({"host": "localhost:8081", "sec-fetch-site": "same-site"}, True),
        ({"host": "localhost:8081", "origin": "http://localhost:9999"}, True),
        ({"host": "evil.example:8081", "origin": "http://evil.example:8081"}, True),
        ({"host": "evil.example", "sec-fetch-site": "none"}, True),
        ({"host": "", "origin": OWN}, True),
    ],
)
def test_only_its_own_page_acts_through_a_browser(headers: dict[str, str], refused: bool) -> None:
    assert (refusal(headers) is not None) is refused


def test_another_site_s_form_is_refused(page: httpx.Client) -> None:
    form = {"user_id": "42", "caption": "rm -rf"}
    sent = page.post("/_control/files", data=form, files={"file": b"x"}, headers={"origin": OTHER})
    assert sent.status_code == 403
    assert page.get("/_control/chats/42").json()["messages"] == []


@pytest.mark.parametrize("value", ["Ada", "0:Ada", "-5:Ada", "5:", "x:Ada"])
def test_a_person_needs_an_id_and_a_name(value: str) -> None:
    done = CliRunner(env={"TELEGRAM_TOKEN": "1:t"}).invoke(main, ["--person", value])
    assert done.exit_code == 2
    assert "is not like 42:Ada" in done.output
