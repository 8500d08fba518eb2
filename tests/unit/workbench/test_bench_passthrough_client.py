"""The program that asks in the gateway's container, against a server that stamps its chunks."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from workbench.bench import passthrough_client

KEY = "sk-test"


class Stamping(BaseHTTPRequestHandler):
    """Answers with the stamped chunks that the body asks for; another key is refused."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:  # the base class' name
        chunks = json.loads(self.rfile.read(int(self.headers["content-length"])))["chunks"]
        known = (self.headers["x-api-key"], self.headers["authorization"])
        allowed = known in {(KEY, None), (None, "Bearer run-token")}
        stamps = "".join(f": {time.time():.6f}\nevent: x\n\n" for _ in range(chunks))
        content = f"event: start\n\n{stamps}".encode() if allowed else b"refused"
        self.send_response(200 if allowed else 403)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Stamping) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def tell(url: str, key_file: Path, token: str) -> str:
    return json.dumps(
        {
            "direct": url,
            "gateway": f"{url}/v1/model/anthropic",
            "keyFile": str(key_file),
            "token": token,
            "short": json.dumps({"chunks": 0}),
            "stream": json.dumps({"chunks": 3}),
            "uncounted": 1,
            "requests": 4,
            "streams": 2,
        }
    )


def test_both_doors_are_asked_equally_often(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setattr("sys.stdin", io.StringIO(tell(server, tmp_path / "key", "run-token")))
    passthrough_client.main()
    seen = json.loads(capsys.readouterr().out)
    counts = {door: {kind: len(seen[door][kind]) for kind in seen[door]} for door in seen}
    assert counts == {
        "direct": {"requests": 4, "chunks": 6},
        "gateway": {"requests": 4, "chunks": 6},
    }


def test_a_refusal_ends_it_with_the_servers_words(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text(KEY)
    monkeypatch.setattr("sys.stdin", io.StringIO(tell(server, tmp_path / "key", "other-token")))
    with pytest.raises(SystemExit, match="HTTP 403: b'refused'"):
        passthrough_client.main()
