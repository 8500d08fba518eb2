"""The scripted model server of the release: when requests came in, and its rules."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from workbench.console import WorkbenchError

WAIT_SECONDS = 60
Record = dict[str, Any]


class ModelServer:
    """The inspection routes under `/_control`."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def newest(self) -> int:
        """Number of the newest request."""
        return int(self._http.get("/_control/requests").json()["last"])

    def arrival(self, after: int, marker: str) -> Record:
        """The first request after number `after` whose person's words hold the marker.

        Raises:
            WorkbenchError: none came in time.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            answer = self._http.get(
                "/_control/requests", params={"after": after, "wait": WAIT_SECONDS, "kind": "main"}
            ).json()
            for record in answer["requests"]:
                after = max(after, record["sequence"])
                if any(marker in text for text in record["user_texts"]):
                    found: Record = record
                    return found
        raise WorkbenchError(
            f"the message did not reach the model server within {WAIT_SECONDS} s",
            "make demo shows whether it can",
        )

    def body(self, sequence: int) -> dict[str, Any]:
        """A recent request's body. Raises WorkbenchError when it is not kept any more."""
        answer = self._http.get(f"/_control/requests/{sequence}/body")
        if answer.status_code != 200:
            raise WorkbenchError(f"the model server keeps no body of request {sequence}")
        body: dict[str, Any] = answer.json()
        return body

    def clock_difference(self) -> float:
        """Seconds by which the server's clock is ahead of this machine's, to half a round trip."""
        newest = self.newest()
        before = time.time()
        self._http.get("/api/hello")
        after = time.time()
        records = self._http.get("/_control/requests", params={"after": newest}).json()["requests"]
        arrived = next(r["received_at"] for r in records if r["path"] == "/api/hello")
        return float(arrived) - (before + after) / 2

    @contextmanager
    def rules_added(self, *rules: dict[str, Any]) -> Iterator[None]:
        """These rules stand before the server's own while the block runs."""
        own = self._http.get("/_control/rules").json()
        names = {rule["name"] for rule in rules}
        # A bench that was killed may have left its rules there.
        own["rules"] = [rule for rule in own["rules"] if rule["name"] not in names]
        self._put({**own, "rules": [*rules, *own["rules"]]})
        try:
            yield
        finally:
            self._put(own)

    def _put(self, rules: dict[str, Any]) -> None:
        answer = self._http.put("/_control/rules", json=rules)
        if answer.status_code != 200:
            raise WorkbenchError(f"the model server refused the bench's rules: {answer.text[:300]}")
