"""kopf's session with the API server, and word of each request that it sends there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import kopf


def login_handler(
    on_request: Callable[[str, bool], None],
) -> Callable[..., Awaitable[kopf.AiohttpSession | None]]:
    """A login handler of kopf: the pod's service account, else the kubeconfig.

    `on_request` is told the path of every request, and of every further try, before it is sent, and
    whether it watches.
    """
    given: list[tuple[kopf.ConnectionInfo, kopf.AiohttpSession]] = []

    async def login(**kwargs: Any) -> kopf.AiohttpSession | None:
        found = kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
        if found is None:
            return None
        if not given or given[-1][0] != found:
            given[:] = [(found, _session(found, on_request))]
        # The same one for the same credentials: so kopf knows those that were refused before.
        return given[-1][1]

    return login


def _session(
    found: kopf.ConnectionInfo, on_request: Callable[[str, bool], None]
) -> kopf.AiohttpSession:
    async def on_start(
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestStartParams,
    ) -> None:
        on_request(params.url.path, params.url.query.get("watch") == "true")

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(on_start)
    return kopf.AiohttpSession(
        server=found.server,
        default_namespace=found.default_namespace,
        priority=found.priority,
        expiration=found.expiration,
        aiohttp_session=aiohttp.ClientSession(
            # Each watch holds a connection.
            connector=aiohttp.TCPConnector(limit=0, ssl=found.as_ssl_context()),
            headers=found.as_http_headers(),
            proxy=found.proxy_url,
            trust_env=found.trust_env,
            trace_configs=[trace],
        ),
    )
