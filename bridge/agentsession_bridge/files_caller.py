"""Who asks for files: the gateway of this release and nobody else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentsession_core import naming
from agentsession_core.cluster import Cluster
from agentsession_core.problems import ProblemError
from agentsession_core.reviewer import TokenReviewer


def gateway_reviewer(
    cluster: Cluster, namespace: str, service_account: str, now: Callable[[], float]
) -> TokenReviewer[str]:
    """A reviewer that knows the tokens of one ServiceAccount, meant for the bridge."""
    wanted = f"system:serviceaccount:{namespace}:{service_account}"

    def parse(status: Mapping[str, Any]) -> str:
        name = str((status.get("user") or {}).get("username", ""))
        # An API server that knows no audiences answers none: such a token may be meant for anyone.
        is_meant = naming.AUDIENCE_BRIDGE in (status.get("audiences") or ())
        if status.get("authenticated") is not True or not is_meant or name != wanted:
            raise ProblemError(
                403, "not_the_gateway", "files are for the gateway of this release alone"
            )
        return name

    return TokenReviewer(cluster, naming.AUDIENCE_BRIDGE, parse, now)
