"""Every call the operator makes to the API server, but for kopf's watches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from kubernetes_asyncio import client
from kubernetes_asyncio.client import ApiClient

from agentsession_core import naming
from agentsession_operator.cluster_errors import (
    ClusterError,
    ConflictError,
    NotFoundError,
    RefusedError,
    answer_of,
    error_of,
)
from agentsession_operator.model import Body, Key
from agentsession_operator.story import EventText

_MERGE: Final = "application/merge-patch+json"
_PAGE: Final = 500
_EXPIRED: Final = 410
_EVENTS: Final = 50


@dataclass(frozen=True)
class Page:
    """A part of a list; one that begins anew makes those before it void."""

    bodies: list[Body]
    begins_anew: bool


class Cluster:
    """Typed calls; all raise ClusterError."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        # Any: the generated signatures know neither plain dictionaries nor `_content_type`.
        self._core: Any = client.CoreV1Api(api)
        self._batch: Any = client.BatchV1Api(api)
        self._custom: Any = client.CustomObjectsApi(api)
        self._authorization: Any = client.AuthorizationV1Api(api)

    async def create_claim(self, body: Body) -> Body:
        """Makes the claim and answers it as it is in the cluster."""
        made = await answer_of(
            self._core.create_namespaced_persistent_volume_claim(
                body["metadata"]["namespace"], body, field_manager=naming.OPERATOR_FIELD_MANAGER
            )
        )
        return self._as_body(made)

    async def read_claim(self, namespace: str, name: str) -> Body:
        """The claim as it is. Raises NotFoundError."""
        return self._as_body(
            await answer_of(self._core.read_namespaced_persistent_volume_claim(name, namespace))
        )

    async def create_job(self, body: Body) -> Body:
        """Makes the Job; one that is there already with the same owner is a success.

        Raises RefusedError for one with another owner.
        """
        namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
        try:
            made = await answer_of(
                self._batch.create_namespaced_job(
                    namespace, body, field_manager=naming.OPERATOR_FIELD_MANAGER
                )
            )
        except ConflictError:
            made = await answer_of(self._batch.read_namespaced_job(name, namespace))
            existing = self._as_body(made)
            owners = existing["metadata"].get("ownerReferences", [])
            if owners != body["metadata"]["ownerReferences"]:
                raise RefusedError(409, f"Job {name} is there and not this session's") from None
            return existing
        return self._as_body(made)

    async def set_claim_owners(
        self, namespace: str, name: str, uid: str, owners: list[Body]
    ) -> None:
        """Replaces the owner references of this very claim."""
        patch = {"metadata": {"uid": uid, "ownerReferences": owners or None}}
        await answer_of(
            self._core.patch_namespaced_persistent_volume_claim(
                name,
                namespace,
                patch,
                field_manager=naming.OPERATOR_FIELD_MANAGER,
                _content_type=_MERGE,
            )
        )

    async def delete_claim(self, namespace: str, name: str, uid: str) -> None:
        """Deletes this very claim; one that is gone is a success."""
        options = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=uid))
        try:
            await answer_of(
                self._core.delete_namespaced_persistent_volume_claim(name, namespace, body=options)
            )
        except NotFoundError:
            return

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Deletes this very Job and its pods, with their grace; one that is gone is a success."""
        options = client.V1DeleteOptions(
            propagation_policy="Background", preconditions=client.V1Preconditions(uid=uid)
        )
        try:
            await answer_of(self._batch.delete_namespaced_job(name, namespace, body=options))
        except NotFoundError:
            return

    async def delete_session(self, key: Key, uid: str, resource_version: str) -> None:
        """Deletes the session if it has not changed since. Raises ConflictError if it has."""
        options = client.V1DeleteOptions(
            propagation_policy="Background",
            preconditions=client.V1Preconditions(uid=uid, resource_version=resource_version),
        )
        await answer_of(
            self._custom.delete_namespaced_custom_object(
                naming.GROUP,
                naming.VERSION,
                key.namespace,
                naming.SESSION_PLURAL,
                key.name,
                body=options,
            )
        )

    async def read_session(self, key: Key) -> Body:
        """The session as it is. Raises NotFoundError."""
        found: Body = await answer_of(
            self._custom.get_namespaced_custom_object(
                naming.GROUP, naming.VERSION, key.namespace, naming.SESSION_PLURAL, key.name
            )
        )
        return found

    async def patch_status(self, key: Key, resource_version: str, patch: Body) -> Body:
        """Merges into the status of the session if it has not changed since."""
        body = {"metadata": {"resourceVersion": resource_version}, "status": patch}
        patched: Body = await answer_of(
            self._custom.patch_namespaced_custom_object_status(
                naming.GROUP,
                naming.VERSION,
                key.namespace,
                naming.SESSION_PLURAL,
                key.name,
                body,
                field_manager=naming.OPERATOR_FIELD_MANAGER,
                _content_type=_MERGE,
            )
        )
        return patched

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
        await answer_of(self._core.create_namespaced_event(key.namespace, body))

    async def events_about(self, namespace: str, uid: str) -> list[Body]:
        """What Kubernetes' own parts have said about an object lately."""
        query = [("fieldSelector", f"involvedObject.uid={uid}"), ("limit", str(_EVENTS))]
        answer = await self._get(f"/api/v1/namespaces/{namespace}/events", query)
        events: list[Body] = answer.get("items", [])
        return events

    async def list_pages(self, path: str, *, ours_only: bool) -> AsyncIterator[Page]:
        """Everything of one kind in one namespace, page by page, as plain dictionaries."""
        query: list[tuple[str, str]] = [("limit", str(_PAGE))]
        if ours_only:
            query.append(("labelSelector", f"{naming.LABEL_MANAGED_BY}={naming.MANAGED_BY}"))
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

    async def _pages(self, path: str, query: list[tuple[str, str]]) -> AsyncIterator[Page]:
        token = ""
        while True:
            answer = await self._get(path, [*query, ("continue", token)] if token else query)
            yield Page(answer.get("items") or [], begins_anew=not token)
            token = answer.get("metadata", {}).get("continue", "")
            if not token:
                return

    async def own_rules(self, namespace: str) -> list[Body] | None:
        """What this process may do in the namespace; None if the API server cannot list it all.

        Every caller may ask.
        """
        spec = client.V1SelfSubjectRulesReviewSpec(namespace=namespace)
        review = client.V1SelfSubjectRulesReview(spec=spec)
        status = self._as_body(
            await answer_of(self._authorization.create_self_subject_rules_review(review))
        )["status"]
        rules: list[Body] = status["resourceRules"]
        return None if status.get("incomplete") else rules

    async def list_children(
        self, namespace: str, session_uid: str
    ) -> tuple[list[Body], list[Body]]:
        """Jobs and pods of one session as the API server has them now."""
        query = [("labelSelector", f"{naming.LABEL_SESSION_UID}={session_uid}")]
        jobs, pods = await asyncio.gather(
            self._get(f"/apis/batch/v1/namespaces/{namespace}/jobs", query),
            self._get(f"/api/v1/namespaces/{namespace}/pods", query),
        )
        return jobs.get("items", []), pods.get("items", [])

    async def served_schemas(self) -> dict[str, Body]:
        """Kind → the schema that the API server serves for it; every caller may read it."""
        document = await self._get(f"/openapi/v3/apis/{naming.API_VERSION}", [])
        schemas = document.get("components", {}).get("schemas", {})
        return {name.rsplit(".", 1)[-1]: schema for name, schema in schemas.items()}

    async def _get(self, path: str, query: list[tuple[str, str]]) -> Body:
        return await answer_of(self._read_plain(path, query))

    async def _read_plain(self, path: str, query: list[tuple[str, str]]) -> Body:
        response: Any = await self._api.call_api(
            path,
            "GET",
            query_params=query,
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
            _preload_content=False,
            _return_http_data_only=True,
        )
        text = await response.text()
        if response.status >= 400:
            raise error_of(response.status, text, response.headers)
        body: Body = json.loads(text)
        return body

    def _as_body(self, made: object) -> Body:
        body: Body = self._api.sanitize_for_serialization(made)
        return body
