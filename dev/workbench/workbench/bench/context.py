"""What every measurement is given."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.bench.audit import AuditLog
from workbench.bench.ground import Ground
from workbench.bench.mailboxes import Mailboxes
from workbench.bench.model import ModelServer
from workbench.bench.sessions import Session
from workbench.console import Reporter


@dataclass(frozen=True)
class Context:
    """One bench on one installation. `audit` is None where the cluster shows no audit log."""

    ground: Ground
    model: ModelServer
    mailboxes: Mailboxes
    audit: AuditLog | None
    reporter: Reporter
    rounds: int

    def session(self, kind: str) -> Session:
        """A session of this bench, not made yet."""
        return Session(self.ground, f"bench-{kind}-{self.ground.bench_id}")

    @property
    def operator_user(self) -> str:
        """The operator as the API server knows it."""
        names = self.ground.names
        return f"system:serviceaccount:{names.namespace}:{names.release}-operator"
