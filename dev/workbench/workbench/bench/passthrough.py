"""What the gateway's pass-through adds to a model call, beside the same call without it."""

from __future__ import annotations

import json
import uuid
from importlib.resources import files
from typing import Any

from agentsession_core import naming
from workbench.bench.context import Context
from workbench.bench.figures import Figure, Section, Unit
from workbench.bench.sessions import Session
from workbench.bench.statistics import differences

REQUESTS_PER_ROUND = 10
ROUNDS_PER_BATCH = 10
ROUNDS_PER_STREAM = 3
CHUNKS = 200
CHUNK_PAUSE_SECONDS = 0.01
UNCOUNTED = 10
TOKEN_SECONDS = 3600
MILLISECONDS = 1000
KEY_FILE = "/etc/agentsession/secrets/anthropic-api-key"
PYTHON = "/opt/agentsession/bin/python"
# Door (direct, gateway) to kind (requests, chunks) to seconds.
Seen = dict[str, dict[str, list[float]]]
SHORT, STREAM = "bench-short", "bench-stream"
RULES: tuple[dict[str, Any], ...] = (
    {"name": SHORT, "match": {"text": SHORT}, "steps": [{"say": "Yes."}]},
    {
        "name": STREAM,
        "match": {"text": STREAM},
        "steps": [
            {
                "say": "word " * CHUNKS,
                "delay_per_chunk_seconds": CHUNK_PAUSE_SECONDS,
                "stamp_chunks": True,
            }
        ],
    },
)


def measure_passthrough(context: Context, session: Session) -> Section:
    """Calls with an awake session's rights. Raises WorkbenchError when one is refused."""
    program = files("workbench.bench").joinpath("passthrough_client.py").read_text()
    pod = context.ground.component_pod("gateway")["metadata"]["name"]
    token, seen, size = _token(context, session), [], 0
    with context.model.rules_added(*RULES):
        for rounds in batches(context.rounds):
            # Model calls are served during a turn and a minute after it: each batch follows one.
            real = _turn(context, session)
            parameters = _parameters(context, real, token, rounds)
            size = len(parameters["short"])
            # The token goes in by standard input: everyone on the node can read a command line.
            output = context.ground.inside(
                context.ground.names.namespace,
                pod,
                "gateway",
                *(PYTHON, "-I", "-c", program),
                stdin=json.dumps(parameters),
            )
            seen.append(json.loads(output))
    return report_passthrough(merged(seen), size)


def batches(rounds: int) -> list[int]:
    """The rounds in parts that are short enough for the grace after a turn."""
    whole, rest = divmod(rounds, ROUNDS_PER_BATCH)
    return [ROUNDS_PER_BATCH] * whole + ([rest] if rest else [])


def merged(parts: list[Seen]) -> Seen:
    """What several batches saw, as one."""
    return {
        door: {
            kind: [value for part in parts for value in part[door][kind]]
            for kind in ("requests", "chunks")
        }
        for door in ("direct", "gateway")
    }


def _turn(context: Context, session: Session) -> dict[str, Any]:
    """Has the agent answer once; its model call's body."""
    newest, marker = context.model.newest(), uuid.uuid4().hex
    _, generation = session.change_prompt(f"bench {marker}")
    sequence = int(context.model.arrival(newest, marker)["sequence"])
    body = context.model.body(sequence)
    session.wait_answer(generation)
    return body


def _parameters(context: Context, real: dict[str, Any], token: str, rounds: int) -> dict[str, Any]:
    return {
        "direct": f"http://{context.ground.names.release}-model-server:8080",
        "gateway": "http://127.0.0.1:8080/v1/model/anthropic",
        "keyFile": KEY_FILE,
        "token": token,
        "short": request_body(real, SHORT),
        "stream": request_body(real, STREAM),
        "uncounted": UNCOUNTED,
        "requests": REQUESTS_PER_ROUND * rounds,
        "streams": max(1, rounds // ROUNDS_PER_STREAM),
    }


def request_body(real: dict[str, Any], text: str) -> str:
    """A real call's body with other words of the person: its size is that of an agent's calls."""
    return json.dumps({**real, "messages": [{"role": "user", "content": text}], "stream": True})


def report_passthrough(seen: Seen, body_bytes: int) -> Section:
    """The figures in milliseconds. What is added to chunks is not paired: each has its own moment."""
    direct, through = seen["direct"], seen["gateway"]

    def figure(key: str, title: str, seconds: list[float]) -> Figure:
        values = tuple(value * MILLISECONDS for value in seconds)
        return Figure(f"passthrough.{key}", title, Unit.MILLISECONDS, values)

    added = list(differences(through["requests"], direct["requests"]))
    return Section(
        "The gateway's pass-through, beside the same model server asked directly",
        (
            figure("request_direct", "request → first byte, directly", direct["requests"]),
            figure(
                "request_gateway", "request → first byte, through the gateway", through["requests"]
            ),
            figure("request_added", "added per request, pair by pair", added),
            figure("chunk_direct", "a chunk's way, directly", direct["chunks"]),
            figure("chunk_gateway", "a chunk's way, through the gateway", through["chunks"]),
            figure(
                "chunk_added",
                "added per chunk, in the order of sending",
                list(differences(through["chunks"], direct["chunks"])),
            ),
        ),
        (
            f"Asked from the gateway's own container, in turns, over kept connections, with the body "
            f"of a real call ({body_bytes // 1024} KiB). A chunk's way begins when the model server "
            "stamps it; both ends read one clock where they share a node.",
        ),
    )


def _token(context: Context, session: Session) -> str:
    """A gateway token of the session's pod, as the kubelet would ask for it."""
    pod = context.ground.core.read_namespaced_pod(
        session.wait_running_pod(), context.ground.namespace
    )
    body = {
        "spec": {
            "audiences": [naming.AUDIENCE_GATEWAY],
            "expirationSeconds": TOKEN_SECONDS,
            "boundObjectRef": {
                "kind": "Pod",
                "apiVersion": "v1",
                "name": pod.metadata.name,
                "uid": pod.metadata.uid,
            },
        }
    }
    answer = context.ground.core.create_namespaced_service_account_token(
        naming.RUNNER_SERVICE_ACCOUNT, context.ground.namespace, body
    )
    return str(answer.status.token)
