"""What the gateway's answers mean to the runner."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from agentsession_runner.config import GatewayAddress
from agentsession_runner.gateway_client import GatewayClient, GatewayUnavailableError
from agentsession_runner.gateway_link import GatewayLink
from agentsession_testing.runner_gateway import Answer, RunnerGateway

RESULT = {"outcome": "Succeeded", "text": "done"}


@pytest.mark.parametrize("body", [b"<html>a proxy's</html>", b"[]", b'"ok"'])
async def test_a_result_is_not_taken_by_an_answer_that_is_not_the_gateways(
    body: bytes, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("a-token")
    gateway = RunnerGateway()
    gateway.answers["result"] = deque([Answer(200, body)])
    await gateway.start()
    address = urlsplit(gateway.url)
    client = GatewayClient(
        GatewayAddress(gateway.url, str(address.hostname), int(address.port or 0), ""),
        str(token),
        lambda _: None,
        GatewayLink(),
    )
    try:
        with pytest.raises(GatewayUnavailableError, match="no JSON object"):
            await client.post_result("t1", RESULT)
        assert gateway.results == []
        await client.post_result("t1", RESULT)
        assert [turn for turn, _ in gateway.results] == ["t1"]
    finally:
        await client.close()
        await gateway.go_away()
