"""What `kubectl agents approve` and the bridge say to each other: keys of one ConfigMap of the release.

- `approve.<CODE>` `Approval`: a person's wish, written by the plugin and taken away by the bridge
- `answer.<CODE>` `Answer`: what became of it, written by the bridge
- `user.<id>` `Paired`: somebody who is let in, written by the bridge; taken away, they are out again
"""

from __future__ import annotations

import re
from typing import Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

# No letters that look like digits.
ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
CODE_CHARACTERS: Final = 8
CODE_SECONDS: Final = 3600
APPROVE: Final = "approve."
ANSWER: Final = "answer."
USER: Final = "user."
_CODE: Final = re.compile(f"[{ALPHABET}]{{{CODE_CHARACTERS}}}")
_PERSON: Final = re.compile(r"[1-9]\d{0,18}")


class _Said(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True
    )


class Approval(_Said):
    """Who lets somebody in, as their own client says it."""

    by: str = Field(default="", max_length=512)


class Answer(_Said):
    """Who was let in; `user` is None for a code that is unknown or too old."""

    user: int | None = None
    name: str = ""
    at: float = 0.0


class Paired(_Said):
    """Somebody who is let in. Times in seconds since the epoch."""

    name: str = ""
    approved_by: str = ""
    approved_at: float = 0.0


def config_map_name(release: str) -> str:
    """The ConfigMap of a release."""
    return f"{release}-pairing"


def spoken(code: str) -> str:
    """A code as people read it: ABCD-EFGH."""
    half = CODE_CHARACTERS // 2
    return f"{code[:half]}-{code[half:]}"


def read_code(text: str) -> str | None:
    """The code that a person has written, or None for anything that cannot be one."""
    code = text.strip().upper().replace("-", "").replace(" ", "")
    return code if _CODE.fullmatch(code) else None


def read_person(key: str) -> int | None:
    """The person whom a key lets in: a numeric id alone."""
    number = key.removeprefix(USER)
    return int(number) if key != number and _PERSON.fullmatch(number) else None
