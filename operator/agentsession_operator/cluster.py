"""Every call the operator makes to the API server, but for kopf's watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agentsession_core import naming
from agentsession_core.kube import (
    BATCH,
    CORE,
    JSON,
    MERGE_PATCH,
    OWN,
    ApiClient,
    collection_path,
    object_path,
)
from agentsession_operator.cluster_errors import (
    CALL_SECONDS,
    ClusterError,
    ConflictError,
    NotFoundError,
    RefusedError,
    answer_of,
)
from agentsession_operator.model import Body, Key
from agentsession_operator.story import EventText

_PAGE: Final = 500
_EXPIRED: Final = 410
_EVENTS: Final = 50
_OURS: Final = {"fieldManager": naming.OPERATOR_FIELD_MANAGER}


@dataclass(frozen=True)
class Page:
    """A part of a list; one that begins anew makes those before it void."""

    bodies: list[Body]
    begins_anew: bool


class Cluster:
    """Typed calls; all raise ClusterError."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def create_claim(self, body: Body) -> Body:
        """Makes the claim and answers it as it is in the cluster."""
        return await self._call("POST", _claims(body["metadata"]["namespace"]), body, _OURS)

    async def read_claim(self, namespace: str, name: str) -> Body:
        """The claim as it is. Raises NotFoundError."""
        return await self._call("GET", _claim(namespace, name))

    async def create_job(self, body: Body) -> Body:
        """Makes the Job; one that is there already with the same owner is a success.

        Raises RefusedError for one with another owner.
        """
        namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
        try:
            return await self._call("POST", _jobs(namespace), body, _OURS)
        except ConflictError:
            existing = await self._call("GET", _job(namespace, name))
        owners = existing["metadata"].get("ownerReferences", [])
        if owners != body["metadata"]["ownerReferences"]:
            raise RefusedError(409, f"Job {name} is there and not this session's")
        return existing

    async def set_claim_owners(
        self, namespace: str, name: str, uid: str, owners: list[Body]
    ) -> None:
        """Replaces the owner references of this very claim."""
        patch = {"metadata": {"uid": uid, "ownerReferences": owners or None}}
        await self._call("PATCH", _claim(namespace, name), patch, _OURS, MERGE_PATCH)

    async def delete_claim(self, namespace: str, name: str, uid: str) -> None:
        """Deletes this very claim; one that is gone is a success."""
        await self._delete_if_there(_claim(namespace, name), {"preconditions": {"uid": uid}})

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Deletes this very Job and its pods, with their grace; one that is gone is a success."""
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        await self._delete_if_there(_job(namespace, name), options)

    async def delete_session(self, key: Key, uid: str, resource_version: str) -> None:
        """Deletes the session if it has not changed since. Raises ConflictError if it has."""
        only = {"uid": uid, "resourceVersion": resource_version}
        options = {"propagationPolicy": "Background", "preconditions": only}
        await self._call("DELETE", _session(key), options)

    async def read_session(self, key: Key) -> Body:
        """The session as it is. Raises NotFoundError."""
        return await self._call("GET", _session(key))

    async def patch_status(self, key: Key, resource_version: str, patch: Body) -> Body:
        """Merges into the status of the session if it has not changed since."""
        body = {"metadata": {"resourceVersion": resource_version}, "status": patch}
        return await self._call("PATCH", f"{_session(key)}/status", body, _OURS, MERGE_PATCH)

    async def create_event(
        self, key: Key, uid: str, name: str, event: EventText, at: datetime
    ) -> None:
        """Tells an Event about the session."""
        stamp = at.isoformat(timespec="seconds").replace("+00:00", "Z")
        body: Body = {
            "metadata": {"name": name, "namespace": key.namespace},
            "involvedObject": {
                "apiVersion": naming.API_VERSION,
                "kind": naming.SESSION_KIND,
                "namespace": key.namespace,
                "name": key.name,
                "uid": uid,
            },
            "type": event.type,
            "reason": event.reason,
            "message": event.message[:1024],
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
            "source": {"component": naming.OPERATOR_FIELD_MANAGER},
            "reportingComponent": naming.OPERATOR_FIELD_MANAGER,
            "reportingInstance": "",
        }
        await self._call("POST", _events(key.namespace), body)

    async def events_about(self, namespace: str, uid: str) -> list[Body]:
        """What Kubernetes' own parts have said about an object lately."""
        query = {"fieldSelector": f"involvedObject.uid={uid}", "limit": str(_EVENTS)}
        answer = await self._call("GET", _events(namespace), None, query)
        events: list[Body] = answer.get("items", [])
        return events

    async def list_pages(self, path: str, *, ours_only: bool) -> AsyncIterator[Page]:
        """Everything of one kind in one namespace, page by page, as plain dictionaries."""
        query = {"limit": str(_PAGE)}
        if ours_only:
            query["labelSelector"] = f"{naming.LABEL_MANAGED_BY}={naming.MANAGED_BY}"
        try:
            async for page in self._pages(path, query):
                yield page
        except ClusterError as error:
            if error.status != _EXPIRED:
                raise
        else:
            return
        # Between two pages the API server has forgotten the state that the first one was of.
        async for page in self._pages(path, query):
            yield page

    async def _pages(self, path: str, query: dict[str, str]) -> AsyncIterator[Page]:
        token = ""
        while True:
            following = {"continue": token} if token else {}
            answer = await self._call("GET", path, None, {**query, **following})
            yield Page(answer.get("items") or [], begins_anew=not token)
            token = answer.get("metadata", {}).get("continue", "")
            if not token:
                return

    async def own_rules(self, namespace: str) -> list[Body] | None:
        """What this process may do in the namespace; None if the API server cannot list it all.

        Every caller may ask.
        """
        review = {"spec": {"namespace": namespace}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        status = (await self._call("POST", path, review))["status"]
        rules: list[Body] = status["resourceRules"]
        return None if status.get("incomplete") else rules

    async def list_children(
        self, namespace: str, session_uid: str
    ) -> tuple[list[Body], list[Body]]:
        """Jobs and pods of one session as the API server has them now."""
        query = {"labelSelector": f"{naming.LABEL_SESSION_UID}={session_uid}"}
        jobs, pods = await asyncio.gather(
            self._call("GET", _jobs(namespace), None, query),
            self._call("GET", collection_path(CORE, namespace, "pods"), None, query),
        )
        return jobs.get("items", []), pods.get("items", [])

    async def served_schemas(self) -> dict[str, Body]:
        """Kind → the schema that the API server serves for it; every caller may read it."""
        document = await self._call("GET", f"/openapi/v3/apis/{naming.API_VERSION}")
        schemas = document.get("components", {}).get("schemas", {})
        return {name.rsplit(".", 1)[-1]: schema for name, schema in schemas.items()}

    async def _delete_if_there(self, path: str, options: Body) -> None:
        try:
            await self._call("DELETE", path, options)
        except NotFoundError:
            return

    async def _call(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        query: dict[str, str] | None = None,
        content_type: str = JSON,
    ) -> Body:
        call = self._api.call(
            method,
            path,
            body,
            query=query,
            content_type=content_type,
            timeout_seconds=CALL_SECONDS,
        )
        return await answer_of(call)


def _claims(namespace: str) -> str:
    return collection_path(CORE, namespace, "persistentvolumeclaims")


def _claim(namespace: str, name: str) -> str:
    return object_path(CORE, namespace, "persistentvolumeclaims", name)


def _jobs(namespace: str) -> str:
    return collection_path(BATCH, namespace, "jobs")


def _job(namespace: str, name: str) -> str:
    return object_path(BATCH, namespace, "jobs", name)


def _events(namespace: str) -> str:
    return collection_path(CORE, namespace, "events")


def _session(key: Key) -> str:
    return object_path(OWN, key.namespace, naming.SESSION_PLURAL, key.name)
