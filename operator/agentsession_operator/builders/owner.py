"""Ownership: what Kubernetes deletes together with a session."""

from __future__ import annotations

from typing import Any

from agentsession_core import naming
from agentsession_core.api import AgentSession


def owner_reference(session: AgentSession) -> dict[str, Any]:
    """An owner reference to the session, as its controller."""
    return {
        "apiVersion": naming.API_VERSION,
        "kind": naming.SESSION_KIND,
        "name": session.metadata.name,
        "uid": session.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
