"""Who may call: the keys the server was given."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from agentsession_dev.model_server.errors import ApiError

Credential = Literal["x-api-key", "bearer", "none"]
_BEARER = "bearer "


@dataclass(frozen=True)
class KeyCheck:
    """How a request presented its key and whether the key is one of ours."""

    credential: Credential
    valid: bool


def check_key(headers: Mapping[str, str], keys: Iterable[str], *, any_key: bool) -> KeyCheck:
    """Compare a request's key with the configured ones; ``any_key`` accepts every non-empty one.

    ``x-api-key`` wins over a bearer token, as at the real API.
    """
    credential: Credential = "none"
    presented = ""
    authorization = headers.get("authorization", "")
    if headers.get("x-api-key"):
        credential, presented = "x-api-key", headers["x-api-key"]
    elif authorization.lower().startswith(_BEARER):
        credential, presented = "bearer", authorization[len(_BEARER) :].strip()
    if any_key:
        return KeyCheck(credential, bool(presented))
    given = presented.encode()
    # Every key is compared, so that the time does not tell which one was close.
    matches = [hmac.compare_digest(given, key.encode()) for key in keys]
    return KeyCheck(credential, any(matches))


def key_error(credential: Credential) -> ApiError:
    """Return the error for a key that was refused."""
    message = {
        "x-api-key": "invalid x-api-key",
        "bearer": "Invalid bearer token",
        "none": "x-api-key header is required",
    }[credential]
    return ApiError(401, message)
