"""The one place that opens connections to the API server."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kubernetes_asyncio import client, config
from kubernetes_asyncio.client import ApiClient


class KubeConfigError(Exception):
    """No usable access to an API server; the message names what was looked for."""


@asynccontextmanager
async def connect(user_agent: str) -> AsyncIterator[ApiClient]:
    """A client for the cluster KUBECONFIG names, else the one this process runs in.

    Raises KubeConfigError when there is neither. The service account's token is read anew each
    minute, so its rotation needs no restart.
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
        yield api
