"""A program that answers like kubectl where there is no cluster, for tests of `kubectl agents`.

Its folder holds `world.json`: `{sessions, events, account, token, forward, fail}`; each call is a
line of `calls`. `forward` is the port that `port-forward` really leads to.
"""

from __future__ import annotations

import contextlib
import json
import socket
import stat
import sys
import threading
from pathlib import Path
from typing import Any

NOT_FOUND = 'Error from server (NotFound): agentsessions.agentsession.dev "{}" not found'


def install(folder: Path, **world: Any) -> Path:
    """Puts a `kubectl` into the folder; answers the folder, to be put on PATH."""
    folder.mkdir(exist_ok=True)
    (folder / "world.json").write_text(json.dumps(world))
    # A plugin that runs may call it at any moment: it is never there in part.
    written = folder / "kubectl.new"
    written.write_text(f"#!{sys.executable}\n{Path(__file__).read_text()}\nmain(FOLDER)\n".replace(
        "FOLDER", repr(str(folder))
    ))  # fmt: skip
    written.chmod(written.stat().st_mode | stat.S_IXUSR)
    written.replace(folder / "kubectl")
    return folder


def calls(folder: Path) -> list[list[str]]:
    """The command lines that came in."""
    file = folder / "calls"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def main(folder: str) -> None:
    """Answers one command line."""
    here = Path(folder)
    world = json.loads((here / "world.json").read_text())
    with (here / "calls").open("a") as file:
        file.write(json.dumps(sys.argv[1:]) + "\n")
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    if world.get("fail"):
        sys.exit(world["fail"])
    if words[0] == "port-forward":
        _forward(world["forward"])
    elif words[:2] == ["create", "token"]:
        print(world.get("token", "a-token"))
    elif words[:2] == ["get", "serviceaccount"]:
        annotations = {"agentsession.dev/gateway": world.get("account", "system/gateway")}
        print(json.dumps({"metadata": {"annotations": annotations}}))
    elif words[:2] == ["get", "events"]:
        print(json.dumps({"items": world.get("events", [])}))
    elif words[0] == "config":
        print("of-the-context")
    elif "--watch" in sys.argv:
        print("Starting\tThe pod is starting.", flush=True)
        threading.Event().wait()
    else:
        _session(here, world, words)


def _session(here: Path, world: dict[str, Any], words: list[str]) -> None:
    sessions = {one["metadata"]["name"]: one for one in world.get("sessions", [])}
    if len(words) == 2:
        print(json.dumps({"items": list(sessions.values())}))
        return
    found = sessions.get(words[-1])
    if found is None:
        sys.exit(NOT_FOUND.format(words[-1]))
    if words[0] == "patch":
        [change] = [word for word in sys.argv if word.startswith("--patch=")]
        found["spec"].update(json.loads(change.removeprefix("--patch="))["spec"])
        (here / "world.json").write_text(json.dumps(world))
    print(json.dumps(found))


def _forward(port: int) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    here = listener.getsockname()[1]
    print(f"Forwarding from 127.0.0.1:{here} -> 8080", flush=True)
    while True:
        ours, _ = listener.accept()
        theirs = socket.create_connection(("127.0.0.1", port))
        for one, other in ((ours, theirs), (theirs, ours)):
            threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # Not close: it tells the other end nothing while the other thread reads there.
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
