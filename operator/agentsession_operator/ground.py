"""What the operator stands on: rights and CRDs that fit it. It says what is missing and waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from agentsession_core.crd.served import missing_fields
from agentsession_operator.cluster import Cluster
from agentsession_operator.cluster_errors import ClusterError, NotFoundError
from agentsession_operator.rights import missing_rights

log = structlog.get_logger(__name__)
RETRY_SECONDS: Final = 2.0
CHECK_SECONDS: Final = 10.0
RIGHTS_SECONDS: Final = 600.0
_APPLY = "apply the CRDs of this version (kubectl apply --server-side -f crds/)"


class Ground:
    """`problem` says why the operator is not ready, None when it is."""

    def __init__(
        self,
        cluster: Cluster,
        namespaces: tuple[str, ...],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._cluster = cluster
        self._namespaces = namespaces
        self._on_error = on_error
        self._problems = {
            "start": "what there is has not been read yet",
            "watches": "no watch has begun yet; the log of kopf says why",
        }

    @property
    def problem(self) -> str | None:
        """Everything that is missing, in a line."""
        return "; ".join(self._problems.values()) or None

    def heard(self) -> None:
        """A watch has begun: kopf reaches the API server by another address than ours."""
        self._problems.pop("watches", None)

    async def begin(self, learn: Callable[[], Awaitable[None]]) -> None:
        """Checks everything and then has the cluster learnt (`learn`), for as long as it takes.

        An API server that is away is waited for here: kubelet would start a process that ends
        ever later.
        """
        for step in (self._check_rights, self._check_schema, learn):
            await self._until_done(step)
        self._problems.pop("start", None)

    async def guard(self) -> None:
        """Notices a Role that somebody changes, and what has been mended, until cancelled."""
        waited = 0.0
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            waited += CHECK_SECONDS
            try:
                if "schema" in self._problems:
                    await self._check_schema()
                if "rights" in self._problems or waited >= RIGHTS_SECONDS:
                    waited = 0.0
                    await self._check_rights()
            except ClusterError as error:
                log.warning("rights and schema not read", error=str(error))
                self._on_error(error)

    async def _until_done(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
            except ClusterError as error:
                self._problems["start"] = f"the start waits for the API server: {error}"
                log.warning("waiting for the API server", error=str(error))
                self._on_error(error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def _check_schema(self) -> None:
        """Sets the problem where the CRDs are older. Raises ClusterError where there are none."""
        try:
            missing = missing_fields(await self._cluster.served_schemas())
        except NotFoundError as error:
            raise ClusterError(404, f"the cluster does not know AgentSessions; {_APPLY}") from error
        self._problems.pop("schema", None)
        if missing:
            self._problems["schema"] = f"the cluster's CRDs lack {', '.join(missing[:5])}; {_APPLY}"
            log.error("schema is too old", missing=missing, next_step=_APPLY)

    async def _check_rights(self) -> None:
        """Sets the problem where a Role lacks something. Raises ClusterError."""
        lacking = []
        for namespace in self._namespaces:
            rules = await self._cluster.own_rules(namespace)
            missing = missing_rights(rules) if rules is not None else []
            if missing:
                lacking.append(f"to {', '.join(missing[:5])} in namespace {namespace}")
        self._problems.pop("rights", None)
        if lacking:
            self._problems["rights"] = (
                f"the operator lacks the right {', '.join(lacking)}; install the chart's Roles again "
                "(helm upgrade), or grant it"
            )
            log.error("rights are missing", problem=self._problems["rights"])
