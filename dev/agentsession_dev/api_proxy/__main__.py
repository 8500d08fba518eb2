"""Entry point: ``python -m agentsession_dev.api_proxy --upstream https://127.0.0.1:6443``."""

from __future__ import annotations

import click
import uvicorn

from agentsession_dev.api_proxy.app import ApiProxy
from agentsession_dev.api_proxy.faults import FaultBook


@click.command()
@click.option("--upstream", required=True, help="URL of the API server.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8001, show_default=True, type=click.IntRange(0, 65535))
@click.option("--seed", default=0, show_default=True, help="Of the faults with a probability.")
def main(upstream: str, host: str, port: int, seed: int) -> None:
    """Pass a Kubernetes API on, with faults: POST /_control/faults, /_control/cut, /_control/silence."""
    proxy = ApiProxy(upstream, FaultBook(seed))
    uvicorn.run(proxy, host=host, port=port, log_level="critical", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
