"""The process that keeps the chat page open, with a kubectl that serves the page itself."""

from __future__ import annotations

import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workbench.page import Page, close_page, open_page, read_page
from workbench.settings import Names

NAMES = Names("mine", "system", "agents")
KUBECTL = """#!{python}
import http.server, os, pathlib, sys
here = pathlib.Path(sys.argv[0]).parent
if "get" in sys.argv:
    print("service/mine-telegram-server" if (here / "installed").exists() else "")
    sys.exit(1 if (here / "away").exists() else 0)
assert "--address=127.0.0.1" in sys.argv and "svc/mine-telegram-server" in sys.argv
(here / "forward.pid").write_text(str(os.getpid()))
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"page")
port = int(sys.argv[-1].split(":")[0])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Page).serve_forever()
"""
KEEP = """
import sys
from pathlib import Path
from workbench.clusters import Cluster
from workbench.page import forward_page
from workbench.settings import Names
class Here(Cluster):
    up = down = kubeconfig = None
    def __init__(self): pass
    def environment(self): return {"PATH": sys.argv[1]}
forward_page(Path(sys.argv[1]), Here(), Names("mine", "system", "agents"))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL.format(python=sys.executable))
    program.chmod(0o755)
    (tmp_path / "installed").touch()
    yield tmp_path
    close_page(tmp_path)


@pytest.fixture
def keep(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    return [sys.executable, "-c", KEEP, str(folder)]


def wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def shows_the_page(page: Page) -> bool:
    try:
        with urllib.request.urlopen(page.url, timeout=2) as answer:  # noqa: S310 -- http of this test
            return bool(answer.read() == b"page")
    except OSError:
        return False


def test_it_is_opened_once_and_closed(folder: Path, keep: list[str]) -> None:
    assert read_page(folder) is None
    page = open_page(folder, NAMES, keep)
    assert shows_the_page(page)
    assert open_page(folder, NAMES, keep) == page
    close_page(folder)
    assert read_page(folder) is None
    assert not shows_the_page(page)
    close_page(folder)


def test_it_comes_back_at_the_same_address_when_its_pod_is_replaced(
    folder: Path, keep: list[str]
) -> None:
    page = open_page(folder, NAMES, keep)
    first = int((folder / "forward.pid").read_text())
    os.kill(first, signal.SIGKILL)
    wait(lambda: (folder / "forward.pid").read_text() != str(first), "kubectl is started again")
    wait(lambda: shows_the_page(page), "the page is there again")


def test_it_outlives_a_cluster_that_is_away_and_ends_with_the_release(
    folder: Path, keep: list[str]
) -> None:
    open_page(folder, NAMES, keep)
    (folder / "away").touch()
    first = int((folder / "forward.pid").read_text())
    os.kill(first, signal.SIGKILL)
    wait(lambda: (folder / "forward.pid").read_text() != str(first), "kubectl is started again")
    (folder / "away").unlink()
    (folder / "installed").unlink()
    os.kill(int((folder / "forward.pid").read_text()), signal.SIGKILL)
    wait(lambda: read_page(folder) is None, "it ends")


def test_another_release_s_page_takes_its_place(folder: Path, keep: list[str]) -> None:
    page = open_page(folder, NAMES, keep)
    written = (folder / "chat-page.json").read_text()
    (folder / "chat-page.json").write_text(written.replace('"mine"', '"other"'))
    assert open_page(folder, NAMES, keep).pid != page.pid
