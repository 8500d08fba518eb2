"""The release under test with another configuration of its gateway, put back afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from agentsession_testing.cluster import Product

ROLLOUT_SECONDS = 120
FILE = "config.yaml"


class GatewayConfiguration:
    """What the chart renders of `gateway.*`; `helm upgrade` would restart the other parts, too."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._config_map = f"configmap/{product.names.release}-config"
        self._deployment = f"deployment/{product.names.release}-gateway"
        self._before = self._read()
        self._is_changed = False

    def set_model_url(self, url: str) -> None:
        """Another `gateway.models.anthropic.baseURL`; returns once only new pods serve."""
        changed = yaml.safe_load(self._before)
        changed["gateway"]["models"]["anthropic"]["baseURL"] = url
        self._is_changed = True
        self._write(yaml.safe_dump(changed))

    def restore(self) -> None:
        """As it was found."""
        if self._is_changed:
            self._write(self._before)
            self._is_changed = False

    def _read(self) -> str:
        text: str = json.loads(self._kubectl("get", self._config_map, "-o", "json"))["data"][FILE]
        return text

    def _write(self, text: str) -> None:
        patch = json.dumps({"data": {FILE: text}})
        self._kubectl("patch", self._config_map, "--type=merge", "-p", patch)
        self._kubectl("rollout", "restart", self._deployment)
        timeout = f"--timeout={ROLLOUT_SECONDS}s"
        self._kubectl("rollout", "status", self._deployment, timeout)
        # A gateway that is told to end serves its open streams for some seconds more.
        going = [f"pod/{name}" for name in self._names_of_pods_that_go()]
        if going:
            self._kubectl("wait", "--for=delete", timeout, *going)

    def _names_of_pods_that_go(self) -> list[str]:
        pods: list[dict[str, Any]] = json.loads(self._kubectl("get", "pods", "-o", "json"))["items"]
        return [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" in pod["metadata"]]

    def _kubectl(self, *arguments: str) -> str:
        return self._product.kubectl(*arguments, namespace=self._product.names.namespace)


@contextmanager
def gateway_configuration(product: Product) -> Iterator[GatewayConfiguration]:
    """Put back at the end of the block, whatever happened in it."""
    configuration = GatewayConfiguration(product)
    try:
        yield configuration
    finally:
        configuration.restore()
