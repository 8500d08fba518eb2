"""Where this clone is and what its installation is called."""

from __future__ import annotations

import hashlib
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
    """Reads the Makefile's variables. Raises ValueError for an unknown CLUSTER."""
    return Settings(
        clone=clone,
        cluster=ClusterKind(environment.get("CLUSTER", "local")),
        names=Names(
            environment.get("RELEASE", "agentsession"),
            environment.get("NAMESPACE", "agentsession-system"),
            environment.get("SESSIONS_NAMESPACE", "agents"),
        ),
        push=environment.get("PUSH", ""),
        model_key=environment.get("ANTHROPIC_API_KEY", ""),
        kubeconfig=environment.get("KUBECONFIG", ""),
    )
