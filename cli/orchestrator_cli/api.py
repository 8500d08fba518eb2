"""The orchestrator's API over HTTP. httpx is loaded with the first call: `--help` needs none."""

from __future__ import annotations

import math
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator_cli.configuration import Configuration
from orchestrator_cli.errors import CommandError, Exit, refusal

if TYPE_CHECKING:
    import httpx

# httpx loads a command line of its own where it finds rich: half of what loading it takes.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

ANSWER_SECONDS = 30.0
TRIES = 4
FIRST_PAUSE_SECONDS = 0.2
# Whoever is told to come back later than that is told so, instead of seeing nothing happen.
LONGEST_PAUSE_SECONDS = 30.0
_GIVEN = {
    "authorization": "token",
    "orchestrator-user": "user",
    "idempotency-key": "idempotency key",
    "if-match": "version",
}
_AGAIN = frozenset({429, 502, 503, 504})


class Api:
    """The API as one caller. Every call raises CommandError.

    After `deadline`, by `clock`, nothing is tried again; None: there is none.
    """

    def __init__(
        self,
        configuration: Configuration,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.deadline: float | None = None
        self._configuration = configuration
        self._sleep = sleep
        self._clock = clock
        self._transport = transport
        self._client: httpx.Client | None = None

    def get(self, path: str, **query: object) -> Any:
        """What is there."""
        return self.call("GET", path, query=query)

    def pages(self, path: str, limit: int | None = None, **query: object) -> Iterator[Any]:
        """Everything of a list, or the first `limit`."""
        cursor: str | None = None
        left = limit
        while True:
            size = None if left is None else min(left, 200)
            page = self.get(path, cursor=cursor, limit=size, **query)
            yield from page["items"]
            cursor = page["next_cursor"]
            if left is not None:
                left -= len(page["items"])
            if cursor is None or left == 0:
                return

    def change(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        key: str | None = None,
        dry_run: bool = False,
        **query: object,
    ) -> Any:
        """Changes something, once however often it has to be sent; `key` makes that so for a command
        that is run again, too. What is None in `body` is left out."""
        said = None if body is None else {k: v for k, v in body.items() if v is not None}
        said_too = {"dry_run": dry_run or None, **query}
        return self.call(method, path, query=said_too, body=said, key=key or uuid.uuid4().hex)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
        key: str | None = None,
        if_match: str | None = None,
    ) -> Any:
        """The answer's JSON, None where it has none.

        Tried again while the API cannot do it now, or when it says that it will: what changes something
        carries `key`, by which the API knows that it did it already.
        """
        import httpx

        headers = {
            name: value
            for name, value in (("idempotency-key", key), ("if-match", if_match))
            if value
        }
        repeatable = method in ("GET", "DELETE") or key is not None
        failures = 0
        while True:
            try:
                response = self._opened().request(
                    method,
                    path,
                    params={
                        name: _text(value)
                        for name, value in (query or {}).items()
                        if value is not None
                    },
                    json=body,
                    headers=_fit({**headers, **self._caller()}),
                )
            except httpx.TransportError as error:
                failures += 1
                never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if failures >= TRIES or not (repeatable or never_sent):
                    raise self._unreachable(error) from None
                self._sleep(FIRST_PAUSE_SECONDS * 2**failures)
                continue
            pause = self._pause(response, failures) if repeatable else None
            if pause is None:
                return self._read(response)
            failures += 1
            self._sleep(pause)

    def close(self) -> None:
        """Closes the connections."""
        if self._client is not None:
            self._client.close()

    def _pause(self, response: httpx.Response, failures: int) -> float | None:
        """Seconds until the same is asked again; None where it is not."""
        if response.status_code not in _AGAIN or failures >= TRIES - 1:
            return None
        pause = FIRST_PAUSE_SECONDS * 2 ** (failures + 1)
        if response.status_code == 429:
            said = response.headers.get("retry-after", "")
            # Without a time it is no limit that passes by itself.
            pause = float(said) if said.isdecimal() else math.inf
        left = math.inf if self.deadline is None else self.deadline - self._clock()
        return pause if pause <= min(LONGEST_PAUSE_SECONDS, left) else None

    def _opened(self) -> httpx.Client:
        if self._client is None:
            import httpx

            url = self._configuration.require_url()
            # The store of certificates takes a fifth of the time that this command may take to start.
            verify = url.startswith("https://")
            self._client = httpx.Client(
                base_url=url,
                timeout=ANSWER_SECONDS,
                verify=verify,
                trust_env=verify,
                transport=self._transport,
            )
        return self._client

    def _caller(self) -> dict[str, str]:
        user = self._configuration.user.text
        return {
            "authorization": f"Bearer {self._configuration.require_token()}",
            **({"orchestrator-user": user} if user else {}),
        }

    def _read(self, response: httpx.Response) -> Any:
        if response.status_code == 204:
            return None
        request_id = response.headers.get("x-request-id", "")
        try:
            body: Any = response.json()
        except ValueError:
            raise refusal(response.status_code, None, request_id) from None
        if not response.is_success:
            raise refusal(response.status_code, body, request_id)
        return body

    def _unreachable(self, error: Exception) -> CommandError:
        said = str(error) or type(error).__name__
        url = self._configuration.url
        return CommandError(
            Exit.UNAVAILABLE,
            "unreachable",
            f"{url.text} cannot be reached: {said}",
            hint=f"the URL comes from {url.source}; orchestrator doctor says more",
        )


def _fit(headers: dict[str, str]) -> dict[str, str]:
    """Raises CommandError for what httpx would refuse, with the token in its words."""
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise CommandError(
                Exit.USAGE,
                "value_unfit",
                f"the {_GIVEN[name]} has characters that it cannot have: a second line, perhaps",
                hint="orchestrator config show says where it comes from",
            )
    return headers


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
