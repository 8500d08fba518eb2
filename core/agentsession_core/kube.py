"""The one place that opens connections to the API server."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from kubernetes_asyncio import client, config
from kubernetes_asyncio.client import ApiClient
from kubernetes_asyncio.client.exceptions import ApiException

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class KubeConfigError(Exception):
    """No usable access to an API server; the message names what was looked for."""


@dataclass(frozen=True)
class ApiRequest:
    """A request as it is counted: names of objects are left out.

    `result` is `ok`, a class of refusal (`refused`, `not_found`, `conflict`, `throttled`), `failed`
    for the API server's own errors, or `unanswered`.
    """

    verb: str
    resource: str
    result: str
    seconds: float


def describe(method: str, url: str, status: int | None, seconds: float) -> ApiRequest:
    """The request in Kubernetes' words: get, list, create, ...; resource with its subresource."""
    parts = [part for part in urlsplit(url).path.split("/") if part]
    rest = parts[2:] if parts[:1] == ["api"] else parts[3:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    resource = rest[0] if parts[:1] in (["api"], ["apis"]) and rest else parts[0] if parts else ""
    resource += f"/{rest[2]}" if len(rest) > 2 else ""
    verb = _VERBS.get(method) or ("get" if len(rest) != 1 else "list")
    return ApiRequest(verb, resource, _result(status), seconds)


def _result(status: int | None) -> str:
    if not status:
        return "unanswered"
    if status < 400:
        return "ok"
    known = {404: "not_found", 409: "conflict", 429: "throttled"}
    return known.get(status, "refused" if status < 500 else "failed")


@asynccontextmanager
async def connect(
    user_agent: str, on_request: Callable[[ApiRequest], None] = lambda _: None
) -> AsyncIterator[ApiClient]:
    """A client for the cluster KUBECONFIG names, else the one this process runs in.

    Raises KubeConfigError when there is neither. The service account's token is read anew each
    minute, so its rotation needs no restart. `on_request` is told of every request.
    """
    configuration = client.Configuration()
    # Python 3.13 checks certificates more strictly than many clusters' own authorities comply with.
    configuration.disable_strict_ssl_verification = True
    try:
        kubeconfig = os.environ.get("KUBECONFIG")
        if kubeconfig:
            # Named, since the library reads the variable only once, when it is imported.
            await config.load_kube_config(kubeconfig, client_configuration=configuration)
        else:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError) as error:
        raise KubeConfigError(
            f"no access to a cluster: {error}; set KUBECONFIG or run in a pod with a service account"
        ) from error
    async with ApiClient(configuration) as api:
        api.user_agent = user_agent
        _tell_requests(api, on_request)
        yield api


async def request_json(
    api: ApiClient,
    method: str,
    path: str,
    *,
    timeout_seconds: float,
    body: Mapping[str, Any] | None = None,
    content_type: str = "application/json",
) -> Mapping[str, Any]:
    """The API server's answer as plain JSON.

    Raises ApiException when it refuses, aiohttp.ClientError, OSError or TimeoutError when it does not
    answer.
    """
    answer: Mapping[str, Any] = await api.call_api(
        path,
        method,
        header_params={"Accept": "application/json", "Content-Type": content_type},
        body=body,
        response_types_map={200: "object", 201: "object"},
        auth_settings=["BearerToken"],
        _return_http_data_only=True,
        _request_timeout=timeout_seconds,
    )
    return answer


def _tell_requests(api: ApiClient, on_request: Callable[[ApiRequest], None]) -> None:
    rest: Any = api.rest_client
    send = rest.request

    async def request(method: str, url: str, **arguments: Any) -> Any:
        began, status = time.monotonic(), None
        try:
            answer = await send(method, url, **arguments)
            status = answer.status
        except ApiException as error:
            status = error.status
            raise
        else:
            return answer
        finally:
            on_request(describe(method, url, status, time.monotonic() - began))

    rest.request = request
