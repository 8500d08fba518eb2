"""Where the API is and who calls: environment before file, each value with where it comes from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator_cli.errors import CommandError, Exit

URL = "ORCHESTRATOR_API_URL"
TOKEN = "ORCHESTRATOR_API_TOKEN"  # noqa: S105 - a variable's name
TOKEN_FILE = "ORCHESTRATOR_API_TOKEN_FILE"  # noqa: S105
USER = "ORCHESTRATOR_USER_ID"
OUTPUT = "ORCHESTRATOR_OUTPUT"
FILE = "ORCHESTRATOR_CONFIG"
# What the file may hold, and the variable that comes before it.
KEYS = {"url": URL, "token": TOKEN, "token-file": TOKEN_FILE, "user": USER}
SECRET_KEYS = frozenset({"token"})


@dataclass(frozen=True)
class Value:
    """A value and where it comes from; empty where nobody says one."""

    text: str = ""
    source: str = "not set"


@dataclass(frozen=True)
class Configuration:
    """What this command works with."""

    url: Value
    token: Value
    token_file: Value
    user: Value
    path: Path

    def require_url(self) -> str:
        """The API's URL. Raises CommandError."""
        if not is_url(self.url.text):
            said = f"{self.url.text!r} is no URL" if self.url.text else "the API's URL is not known"
            raise CommandError(
                Exit.USAGE,
                "url_missing",
                said,
                hint=f"set {URL}, or: orchestrator config set url https://...",
            )
        return self.url.text.rstrip("/")

    def require_token(self) -> str:
        """The caller's token, read anew: a pod's token rotates. Raises CommandError."""
        if self.token.text:
            return self.token.text
        if self.token_file.text:
            try:
                text = Path(self.token_file.text).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise CommandError(
                    Exit.NOT_ALLOWED,
                    "token_unreadable",
                    f"{self.token_file.text}: {error.strerror}",
                    hint=f"it comes from {self.token_file.source}",
                ) from None
            if text:
                return text
        raise CommandError(
            Exit.NOT_ALLOWED,
            "token_missing",
            "there is no token",
            hint=f"set {TOKEN} or {TOKEN_FILE}, or: orchestrator config set token < FILE",
        )


def is_url(text: str) -> bool:
    """Whether that could be where the API is."""
    return text.startswith(("http://", "https://"))


def load(environment: Mapping[str, str]) -> Configuration:
    """The configuration. Raises CommandError when the file cannot be used."""
    path = config_path(environment)
    stored = read_file(path)

    def value(key: str) -> Value:
        variable = KEYS[key]
        if environment.get(variable):
            return Value(environment[variable].strip(), variable)
        if stored.get(key):
            return Value(stored[key], str(path))
        return Value()

    token, token_file = value("token"), value("token-file")
    if token.source == str(path) and token_file.source == TOKEN_FILE:
        # The environment comes first, whichever of the two it names.
        token = Value()
    return Configuration(value("url"), token, token_file, value("user"), path)


def config_path(environment: Mapping[str, str]) -> Path:
    """The configuration file."""
    if environment.get(FILE):
        return Path(environment[FILE])
    base = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "~")) / ".config")
    try:
        folder = Path(base).expanduser()
    except RuntimeError:
        # A uid that is nobody's, as some clusters give pods: there is no file then, and none is made.
        folder = Path("/nonexistent")
    return folder / "orchestrator" / "config.json"


def read_file(path: Path) -> dict[str, str]:
    """What the file says. Raises CommandError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _unusable(path, str(error)) from None
    if not isinstance(found, dict) or set(found) - set(KEYS):
        raise _unusable(path, f"an object with {', '.join(KEYS)} is expected")
    return {key: str(text) for key, text in found.items()}


def write_file(path: Path, values: Mapping[str, str]) -> None:
    """Writes the file, for its owner alone, as a whole. Raises CommandError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(dict(values), file, indent=2)
        new.replace(path)
    except OSError as error:
        raise _unusable(path, error.strerror or "cannot be written") from None


def _unusable(path: Path, why: str) -> CommandError:
    return CommandError(Exit.USAGE, "config_unusable", f"{path}: {why}", hint="mend or remove it")
