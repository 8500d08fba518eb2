"""A real browser without a screen: Debian's Chromium, steered over its debugging pipe.

The pipe needs no port and no WebSocket: Chromium reads JSON ended by a zero byte from its file
descriptor 3 and writes the same to 4.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "CHROMIUM_BINARY"
# A picture comes as one message.
LONGEST_MESSAGE = 64 * 1024 * 1024
SECONDS = 30.0
JsonObject = dict[str, Any]
_OPTIONS = (
    "--headless=new",
    "--remote-debugging-pipe",
    # Root may not use the sandbox, and the only page that is opened is ours.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--lang=en-US",
)


def chromium_binary() -> str:
    """The browser that `CHROMIUM_BINARY` or PATH names; skips where there is none."""
    found = os.environ.get(VARIABLE) or shutil.which("chromium")
    if not found:
        pytest.skip(f"no chromium on PATH and {VARIABLE} is not set: make test installs it")
    return found


@dataclass
class Browser:
    """A running browser."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    waiting: dict[int, asyncio.Future[JsonObject]] = field(default_factory=dict)
    # Exceptions of the pages' scripts, and what they may not do.
    complaints: list[str] = field(default_factory=list)

    async def call(self, method: str, session: str = "", **parameters: Any) -> JsonObject:
        """Call a method of the DevTools protocol. Raises AssertionError with the browser's words."""
        number = next(self.ids)
        answer = self.waiting[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self.writer.write(json.dumps(message).encode() + b"\0")
        found = await asyncio.wait_for(answer, SECONDS)
        assert "error" not in found, f"{method}: {found['error']}"
        result: JsonObject = found["result"]
        return result

    async def read(self) -> None:
        """Hand answers to those who wait, until the browser ends."""
        while True:
            try:
                message = json.loads((await self.reader.readuntil(b"\0"))[:-1])
            except asyncio.IncompleteReadError:
                return
            if "id" in message:
                self.waiting.pop(message["id"]).set_result(message)
            elif message["method"] == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(message["params"]["exceptionDetails"]))
            elif message["method"] == "Log.entryAdded":
                entry = message["params"]["entry"]
                if entry["level"] == "error":
                    self.complaints.append(f"{entry['text']} {entry.get('url', '')}")

    async def open(self, url: str, *, width: int = 720, height: int = 900) -> Tab:
        """Open a page in a tab of its own and wait until it has loaded."""
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        tab = Tab(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            await tab.call(f"{domain}.enable")
        await tab.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        await tab.call("Page.navigate", url=url)
        await tab.holds("document.readyState === 'complete'", "the page has loaded")
        return tab


@dataclass
class Tab:
    """One open page."""

    browser: Browser
    session: str

    async def call(self, method: str, **parameters: Any) -> JsonObject:
        """Call a method of the DevTools protocol for this page."""
        return await self.browser.call(method, self.session, **parameters)

    async def value(self, expression: str) -> Any:
        """What an expression of JavaScript is in the page."""
        found = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, f"{expression}: {found}"
        return found["result"].get("value")

    async def holds(self, expression: str, what: str, seconds: float = SECONDS) -> None:
        """Wait until an expression is true; fails with the page's text."""
        try:
            async with asyncio.timeout(seconds):
                while not await self.value(expression):  # noqa: ASYNC110 -- the page is elsewhere
                    await asyncio.sleep(0.02)
        except TimeoutError:
            text = await self.value("document.body.innerText")
            raise AssertionError(
                f"after {seconds} s still not: {what}\n{text}\n{self.browser.complaints}"
            ) from None

    async def write(self, text: str) -> None:
        """Type into what has the focus, and press Enter."""
        await self.call("Input.insertText", text=text)
        await self.press("Enter", "\r")

    async def press(self, key: str, text: str = "") -> None:
        """Press a key."""
        code = {"Enter": 13, "Tab": 9}[key]
        same: JsonObject = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        down: JsonObject = {"type": "keyDown", **same, **({"text": text} if text else {})}
        await self.call("Input.dispatchKeyEvent", **down)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **same)

    async def click(self, selector: str) -> None:
        """Click with the mouse where an element is."""
        x, y = await self.value(
            "(() => { const e = document.querySelector(" + json.dumps(selector) + ");"
            " e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
            )


@asynccontextmanager
async def browsing(folder: Path) -> AsyncIterator[Browser]:
    """Run a browser while the block runs; `folder` holds its profile and its log."""
    to_browser, from_browser = os.pipe(), os.pipe()
    theirs = (to_browser[0], from_browser[1])
    command = f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}'
    with (folder / "chromium.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", command, "bash", chromium_binary(), *_OPTIONS),
            f"--user-data-dir={folder / 'profile'}",
            pass_fds=theirs,
            stdout=log,
            stderr=log,
        )
    for descriptor in theirs:
        os.close(descriptor)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LONGEST_MESSAGE)
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(from_browser[0], "rb")
    )
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(to_browser[1], "wb")
    )
    browser = Browser(reader, asyncio.StreamWriter(transport, protocol, None, loop))
    reading = asyncio.create_task(browser.read())
    try:
        yield browser
    finally:
        # Its own way to end takes its helpers along.
        browser.writer.write(b'{"id": 0, "method": "Browser.close"}\0')
        browser.waiting[0] = loop.create_future()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
        await reading
        transport.close()
