"""Where this clone is and what its installation is called."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class ClusterKind(StrEnum):
    LOCAL = "local"
    KIND = "kind"
    EXISTING = "existing"


@dataclass(frozen=True)
class Names:
    """Names of one installation in a cluster that others may use, too."""

    release: str
    namespace: str
    sessions_namespace: str

    def with_suffix(self, suffix: str) -> Names:
        """The same names with something of one's own at their end."""
        return Names(
            f"{self.release}{suffix}",
            f"{self.namespace}{suffix}",
            f"{self.sessions_namespace}{suffix}",
        )


@dataclass(frozen=True)
class Settings:
    """Everything the environment says."""

    clone: Path
    cluster: ClusterKind
    names: Names
    push: str
    model_key: str
    kubeconfig: str
    telegram_token: str = ""
    telegram_users: tuple[int, ...] = ()

    @property
    def build_folder(self) -> Path:
        """Where what is made here is written down."""
        return self.clone / ".build"

    @property
    def suffix(self) -> str:
        """Six characters that are this clone's own."""
        return hashlib.sha256(str(self.clone).encode()).hexdigest()[:6]

    def demo_names(self, owner: str | None) -> Names:
        """Names of `make demo` and `make install`.

        `owner` is the path of the clone that made the cluster: every other clone gets names of its
        own, so that it never tears into that one's installation.
        """
        if owner is None or Path(owner) == self.clone:
            return self.names
        return self.names.with_suffix(f"-{self.suffix}")

    def test_names(self) -> Names:
        """Names of `make test`: never those of a demo."""
        return self.names.with_suffix(f"-test-{self.suffix}")


def load_settings(environment: Mapping[str, str], clone: Path) -> Settings:
    """Reads the Makefile's variables. Raises ValueError for one that cannot be right."""
    return Settings(
        clone=clone,
        cluster=_cluster_kind(environment.get("CLUSTER", "local")),
        names=Names(
            environment.get("RELEASE", "agentsession"),
            environment.get("NAMESPACE", "agentsession-system"),
            environment.get("SESSIONS_NAMESPACE", "agents"),
        ),
        push=environment.get("PUSH", ""),
        model_key=environment.get("ANTHROPIC_API_KEY", ""),
        kubeconfig=environment.get("KUBECONFIG", ""),
        telegram_token=_telegram_token(environment.get("TELEGRAM_TOKEN", "").strip()),
        telegram_users=_telegram_users(environment.get("TELEGRAM_USERS", "")),
    )


def _cluster_kind(text: str) -> ClusterKind:
    try:
        return ClusterKind(text)
    except ValueError:
        raise ValueError(f"CLUSTER is local, kind or existing, not {text!r}") from None


def _telegram_token(text: str) -> str:
    """A bot's token, or '' for none. A wrong one is not repeated: it may be nearly right."""
    if text and not re.fullmatch(r"\d+:[A-Za-z0-9_-]+", text):
        raise ValueError("TELEGRAM_TOKEN is not a bot's token, which looks like 123456:ABC-DEF")
    return text


def _telegram_users(text: str) -> tuple[int, ...]:
    users = text.replace(",", " ").split()
    wrong = [user for user in users if not user.isdecimal() or int(user) == 0]
    if wrong:
        raise ValueError(f"TELEGRAM_USERS takes numeric ids alone, not {wrong[0]!r}")
    return tuple(dict.fromkeys(int(user) for user in users))
