"""API tokens: how they look, and what of them is kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final

PREFIX: Final = "orc"
# `orc_<id>_<secret>`: the id finds the row, the prefix finds a token that leaked into a repository.
_FORM: Final = re.compile(r"^orc_([0-9a-f]{12})_[A-Za-z0-9_-]{43}$")


@dataclass(frozen=True)
class NewToken:
    """A token that was just made; only its hash is kept."""

    id: str
    text: str
    sha256: str


def make_token(token_id: str, secret: str | None = None) -> NewToken:
    """A token with that id (12 hexadecimal digits) and 256 random bits."""
    text = f"{PREFIX}_{token_id}_{secret or secrets.token_urlsafe(32)}"
    return NewToken(token_id, text, digest(text))


def token_id(text: str) -> str | None:
    """The id in a token, or None where the text is no API token."""
    match = _FORM.match(text)
    return match.group(1) if match else None


def digest(text: str) -> str:
    """What is kept. A fast hash will do: nobody guesses 256 random bits."""
    return hashlib.sha256(text.encode()).hexdigest()


def same(text: str, sha256: str) -> bool:
    """Whether that is the token; takes as long for any other text."""
    return hmac.compare_digest(digest(text), sha256)
