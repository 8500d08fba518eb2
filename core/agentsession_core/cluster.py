"""What services ask the API server about their callers and sessions."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, Protocol

import aiohttp

from agentsession_core import naming
from agentsession_core.kube import BATCH, CORE, OWN, ApiClient, ApiError, object_path

REQUEST_TIMEOUT_SECONDS: Final = 5.0


class Resource(Enum):
    """A namespaced resource: API group and version, plural."""

    POD = (CORE, "pods")
    SECRET = (CORE, "secrets")
    CONFIG_MAP = (CORE, "configmaps")
    JOB = (BATCH, "jobs")
    SESSION = (OWN, naming.SESSION_PLURAL)
    TEMPLATE = (OWN, naming.TEMPLATE_PLURAL)

    def path(self, namespace: str, name: str) -> str:
        """The object's path at the API server."""
        group, plural = self.value
        return object_path(group, namespace, plural, name)


class ClusterUnavailableError(Exception):
    """The API server did not answer as expected; the message says what it said, never a token."""


class Cluster(Protocol):
    """Reads of the API server, as plain JSON. Every call raises ClusterUnavailableError."""

    async def review(self, token: str, audience: str) -> Mapping[str, Any]:
        """The status of a TokenReview that names the audience."""
        ...

    async def read(self, resource: Resource, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The object, or None where there is none."""
        ...

    async def ping(self) -> None:
        """Returns if the API server answers."""
        ...


class KubernetesCluster:
    """The API server itself."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def review(self, token: str, audience: str) -> Mapping[str, Any]:
        """The status of a TokenReview that names the audience."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        answer = await self._call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body)
        status: Mapping[str, Any] = (answer or {}).get("status") or {}
        return status

    async def read(self, resource: Resource, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The object, or None where there is none."""
        return await self._call("GET", resource.path(namespace, name), None)

    async def ping(self) -> None:
        """Returns if the API server answers."""
        await self._call("GET", "/version", None)

    async def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> Mapping[str, Any] | None:
        try:
            return await self._api.call(method, path, body, timeout_seconds=REQUEST_TIMEOUT_SECONDS)
        except ApiError as error:
            if error.status == 404 and method == "GET":
                return None
            # The exception's text holds the answer's body, which for a Secret would be the Secret.
            raise ClusterUnavailableError(
                f"{method} {path}: {error.status} {error.reason}"
            ) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ClusterUnavailableError(f"{method} {path}: {type(error).__name__}") from None
