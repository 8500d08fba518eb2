"""The stand-in's chat page in a real browser, with unmodified python-telegram-bot at the other end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, Update

from agentsession_testing.chromium import Browser, Tab, browsing
from agentsession_testing.telegram import Telegram, bot_for, telegram_stand_in

ADA, BOB = 42, 43
HTML = (
    "<b>Bold</b>, <i>italic</i> and <code>code()</code>:\n"
    '<pre><code class="language-python">print("&lt;b&gt;")</code></pre>'
    '<a href="https://example.com/">a link</a> <tg-spoiler>hidden</tg-spoiler>'
)
NASTY = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
KINDS = ("message", "edited_message", "callback_query", "stopped_message_generation")


@pytest.fixture
async def world() -> AsyncIterator[Telegram]:
    async with telegram_stand_in() as found:
        for user, name in ((ADA, "Ada"), (BOB, "Bob")):
            await found.join(user, name)
        yield found


@pytest.fixture
async def bot(world: Telegram) -> AsyncIterator[Bot]:
    async with bot_for(world.url) as found:
        await found.set_my_commands([("stop", "Stop what the agent is doing")])
        await found.get_updates(timeout=0, allowed_updates=KINDS)
        yield found


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with browsing(tmp_path) as found:
        yield found


@pytest.fixture
async def tab(world: Telegram, bot: Bot, browser: Browser) -> AsyncIterator[Tab]:
    """Ada's window; nothing in it may fail in silence."""
    opened = await browser.open(f"{world.url}/?as={ADA}")
    await opened.holds("document.querySelector('#menu button') !== null", "the page is connected")
    yield opened
    assert browser.complaints == []


class Updates:
    """What the bot is told, once."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self._offset: int | None = None

    async def next(self) -> Update:
        """The next update."""
        async with asyncio.timeout(20):
            while True:
                found = await self._bot.get_updates(offset=self._offset, timeout=10, limit=1)
                if found:
                    self._offset = found[0].update_id + 1
                    return found[0]


def shown(text: str, where: str = "#messages") -> str:
    """Whether a text is to be seen."""
    return f"!!document.querySelector('{where}')?.innerText.includes({json.dumps(text)})"


async def test_a_message_its_acknowledgement_and_an_answer_that_grows(tab: Tab, bot: Bot) -> None:
    updates = Updates(bot)
    await tab.write("hello there")
    message = (await updates.next()).message
    assert message is not None
    assert (message.text, message.from_user.id if message.from_user else 0) == ("hello there", ADA)
    await tab.holds(shown("hello there", "#messages li.own"), "the own message is shown")
    await tab.holds("document.querySelector('#text').value === ''", "the text field is empty")

    await bot.set_message_reaction(ADA, message.message_id, "👀")
    await tab.holds(shown("👀", "#messages li.own"), "the reaction is shown")
    await bot.send_chat_action(ADA, "typing")
    await tab.holds("document.querySelector('#typing').checkVisibility()", "typing is shown")

    for text in ("I think", "I think, therefore"):
        await bot.send_message_draft(ADA, 7, text, api_kwargs={"can_stop": True})
        await tab.holds(shown(text, "#draft"), f"the draft shows {text!r}")
    await tab.click("#stop")
    stopped = await updates.next()
    assert stopped.api_kwargs["stopped_message_generation"]["draft_id"] == 7

    await bot.send_message(ADA, HTML, parse_mode="HTML")
    await tab.holds(shown("Bold", "#messages li.bot"), "the answer is shown")
    assert await tab.value("document.querySelector('#draft').hidden")
    tags: Any = await tab.value(
        "Object.fromEntries([...document.querySelectorAll('li.bot .text *')]"
        ".map(e => [e.tagName, e.textContent]))"
    )
    assert tags == {
        "B": "Bold", "I": "italic", "CODE": 'print("<b>")', "PRE": 'print("<b>")', "A": "a link",
        "SPAN": "hidden",
    }  # fmt: skip
    assert await tab.value("document.querySelector('li.bot a').rel") == "noreferrer"


async def test_an_edited_answer_a_button_and_its_notice(tab: Tab, bot: Bot) -> None:
    updates = Updates(bot)
    button = InlineKeyboardMarkup([[InlineKeyboardButton("Allow", callback_data="yes")]])
    sent = await bot.send_message(ADA, "May I?", reply_markup=button)
    await tab.holds("document.querySelector('.buttons button') !== null", "the button is there")
    await tab.click(".buttons button")
    pressed = (await updates.next()).callback_query
    assert pressed is not None
    assert pressed.data == "yes"
    await pressed.answer("Thank you")
    await tab.holds(shown("Thank you", "#notice"), "the answer to the press is shown")
    await bot.edit_message_text("You allowed it.", ADA, sent.message_id)
    await tab.holds(shown("You allowed it."), "the edited text is shown")
    await tab.holds("document.querySelector('.buttons button') === null", "the button is gone")
    await tab.click("#menu button")
    command = (await updates.next()).message
    assert command is not None
    assert command.text == "/stop"


async def test_what_others_write_is_text_and_nothing_else(tab: Tab, bot: Bot) -> None:
    title = await tab.value("document.title")
    await bot.send_message(ADA, NASTY)
    await tab.write(NASTY)
    await tab.holds(
        f"[...document.querySelectorAll('li .text')].filter(e => e.textContent === {json.dumps(NASTY)})"
        ".length === 2",
        "both are shown as they are",
    )
    assert (
        await tab.value("document.querySelectorAll('#messages img, #messages script').length") == 0
    )
    assert await tab.value("document.title") == title
    # A script that got in all the same would not run.
    await tab.value(
        "document.body.append(Object.assign(document.createElement('script'),"
        " {textContent: 'document.title = 3'}))"
    )
    assert await tab.value("document.title") == title
    [refused] = tab.browser.complaints
    assert "Content Security Policy" in refused
    tab.browser.complaints.clear()


async def test_two_windows_are_two_people_and_a_stranger_is_a_third(
    world: Telegram, bot: Bot, browser: Browser, tab: Tab
) -> None:
    await bot.send_message(BOB, "for Bob alone")
    bobs = await browser.open(f"{world.url}/?as={BOB}")
    await bobs.holds(shown("for Bob alone"), "Bob's window shows it")
    assert not await tab.value(shown("for Bob alone"))
    entry = await browser.open(f"{world.url}/")
    await entry.holds("document.querySelectorAll('#people a').length === 2", "both are offered")
    await entry.click("#name")
    await entry.write("Eve")
    await entry.holds("location.search.startsWith('?as=')", "Eve has a chat of her own")
    people = (await world.get("state"))["people"]
    assert [person["first_name"] for person in people] == ["Ada", "Bob", "Eve"]


async def test_it_is_used_with_the_keyboard_and_everything_has_a_name(tab: Tab) -> None:
    unnamed: Any = await tab.value(
        "[...document.querySelectorAll('button, input:not([hidden]), textarea, a[href]')]"
        ".filter(e => e.checkVisibility())"
        ".filter(e => !(e.ariaLabel || e.textContent.trim() || e.labels?.length))"
        ".map(e => e.outerHTML)"
    )
    assert unnamed == []
    assert await tab.value("document.activeElement.id") == "text"
    await tab.press("Tab")
    assert await tab.value("document.activeElement.id") == "send"
