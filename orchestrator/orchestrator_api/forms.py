"""The forms that texts have, and what callers are told where one has another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from agentsession_core.naming import IDENTIFIER_PATTERN

# A project, a service, a server: part of host names, hence of their form.
NAME: Final = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
SERVER: Final = "^[a-z0-9-]{1,63}$"
SECRET: Final = "^[A-Za-z_][A-Za-z0-9_]*$"  # noqa: S105 - a secret's name
HOST: Final = r"^[A-Za-z0-9.:-]{1,253}$"
IMAGE: Final = r"^(|[A-Za-z0-9][A-Za-z0-9._/:@-]*)$"
# Credentials belong into a project's secrets, never into an address that is shown. Over HTTPS a name
# alone is one, too: that is how tokens are given.
REPOSITORY: Final = r"^(|https://[^@\s]+|ssh://([^:@/\s]+@)?[^@\s]+)$"
ID: Final = "^[0-9a-f]{12}$"
COMMIT: Final = "^[0-9a-f]{7,64}$"
TASK: Final = "^(engineering|analysis|deploy)-[0-9a-f]{12}$"

WORDS: Final[Mapping[str, str]] = {
    NAME: "a-z, 0-9 and hyphens, at most 63, and no hyphen at either end",
    SERVER: "a-z, 0-9 and hyphens, at most 63",
    SECRET: "letters, digits and underscores, and no digit first, like DATABASE_URL",
    HOST: "a host's name or address, like vps-1.example.com",
    IMAGE: "an image's name, like registry.example.com/todo-app:1.4",
    REPOSITORY: "https://... or ssh://..., without a password or a token in it",
    ID: "an id of twelve digits and letters from a to f, like 0123456789ab",
    COMMIT: "a commit, 7 to 64 digits and letters from a to f",
    TASK: "a task's id, like deploy-0123456789ab",
    IDENTIFIER_PATTERN: "letters, digits, '_', '.' and '-', at most 63, a letter or digit first and last",
}


def why_invalid(errors: Sequence[Mapping[str, Any]]) -> str:
    """Where a request's first mistake is and what should stand there; never what stood there.

    `errors` are pydantic's: the input, which may be a secret, is not looked at.
    """
    first = errors[0]
    place, *inner = (str(part) for part in first["loc"])
    if first["type"] == "json_invalid":
        return f"{place}: no JSON: {first['ctx']['error']}"
    where = ".".join(inner) or place
    return f"{where}: {_what(first)}"


def _what(error: Mapping[str, Any]) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "string_pattern_mismatch":
            return WORDS.get(context["pattern"], error["msg"])
        case "value_error":
            # Without the class's name before it.
            return str(context["error"])
        case "extra_forbidden":
            return "there is no such field"
        case "missing":
            return "it is needed"
        case "model_attributes_type" | "model_type" | "dict_type":
            return "a JSON object is needed, sent with content-type: application/json"
        case _:
            return str(error["msg"])
