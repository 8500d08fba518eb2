"""`python -m workbench.tokens.mcp_server`: every command as a tool, over stdin and stdout (MCP).

As much of the protocol as tools need; only `make tokens` uses it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from orchestrator_cli.app import cli
from workbench.commands import run
from workbench.console import WorkbenchError
from workbench.tokens.schemas import command_of, tools_of

NAME: Final = "orchestrator"
# What Claude Code calls the tools of a server of that name.
PREFIX: Final = f"mcp__{NAME}__"
NO_SUCH_METHOD: Final = -32601


def answer(message: dict[str, Any], call: Callable[[Sequence[str]], str]) -> dict[str, Any] | None:
    """The answer to a message; None for one that wants none. `call` carries out a command's words."""
    if "id" not in message:
        return None
    head = {"jsonrpc": "2.0", "id": message["id"]}
    parameters = message.get("params") or {}
    if message["method"] == "initialize":
        result: dict[str, Any] = {
            "protocolVersion": parameters["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": NAME, "version": "1"},
        }
    elif message["method"] == "tools/list":
        result = {
            "tools": [
                {
                    "name": tool["name"],
                    "description": tool["description"],
                    "inputSchema": tool["input_schema"],
                }
                for tool in tools_of(cli)
            ]
        }
    elif message["method"] == "tools/call":
        words = command_of(cli, parameters["name"], parameters.get("arguments") or {})
        result = {"content": [{"type": "text", "text": call(words)}]}
    else:
        return {**head, "error": {"code": NO_SUCH_METHOD, "message": message["method"]}}
    return {**head, "result": result}


def main() -> None:
    """Answers until stdin ends."""

    def call(words: Sequence[str]) -> str:
        try:
            return run([NAME, "--json", *words])
        except WorkbenchError as error:
            return str(error)

    for line in sys.stdin:
        said = answer(json.loads(line), call)
        if said is not None:
            sys.stdout.write(json.dumps(said) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
