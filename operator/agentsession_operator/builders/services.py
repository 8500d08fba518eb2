"""What of the platform a run pod reaches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Services:
    """URLs as run pods see them. Without an orchestrator a pod has no token for one."""

    gateway: str
    orchestrator: str = ""
