"""One AgentSession applied, the agent's answer read from its status, and where to go on talking."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from workbench.clusters import Cluster
from workbench.console import Reporter, WorkbenchError
from workbench.install import PEOPLE
from workbench.page import Page, close_page, open_page, usable_port
from workbench.settings import Names, Settings

SESSION = "hello"
YOU = PEOPLE[0][0]
ANSWER_SECONDS = 120
ORCHESTRATOR_PORT = 8090


def run_demo(
    settings: Settings, cluster: Cluster, names: Names, reporter: Reporter, now: datetime
) -> None:
    """Prints the session as `kubectl get` shows it, the answer, and a link. Raises WorkbenchError."""
    manifest = {
        "apiVersion": "agentsession.dev/v1alpha1",
        "kind": "AgentSession",
        "metadata": {"name": SESSION, "namespace": names.sessions_namespace},
        "spec": {
            "user": {"id": str(YOU)},
            "prompt": f"Say hello, and tell me in one sentence who you are. (It is {now:%H:%M:%S}.)",
        },
    }
    reporter.note("")
    reporter.note("$ kubectl apply -f - <<EOF")
    reporter.note(yaml.safe_dump(manifest, sort_keys=False).rstrip())
    reporter.note("EOF")
    start = time.monotonic()
    with reporter.step("the agent answers"):
        generation = int(_apply(cluster, manifest)["metadata"]["generation"])
        turn = _wait_for_answer(cluster, names, generation, start)
    print(cluster.kubectl("get", "agentsessions", "-n", names.sessions_namespace).rstrip())
    print()
    print(f"$ kubectl get agentsession {SESSION} -o jsonpath='{{.status.lastTurn.reply}}'")
    print(turn.get("reply", ""))
    print()
    if turn["outcome"] != "Succeeded":
        described = cluster.kubectl(
            "describe", "agentsession", SESSION, "-n", names.sessions_namespace
        )
        raise WorkbenchError(
            f"the turn ended as {turn['outcome']}",
            "the conditions above say why; correct it and run make demo again",
            described,
        )
    reporter.note(_next_steps(cluster, names))
    reporter.note("")
    token_file = settings.build_folder / "orchestrator-token"
    reporter.note(at_this_machine(names, token_file, usable_port(ORCHESTRATOR_PORT)))
    reporter.note("")
    if settings.telegram_token:
        close_page(settings.build_folder)
        reporter.note(in_telegram(settings))
    else:
        with reporter.step("open the chat page"):
            page = open_page(settings.build_folder, names)
        reporter.note(in_the_page(page))


def at_this_machine(names: Names, token_file: Path, port: int) -> str:
    """How a person uses the `orchestrator` command here, with the same projects as their agent."""
    name, namespace = f"{names.release}-orchestrator", names.namespace
    return "\n".join(
        [
            "Your agent has the command `orchestrator`. So have you, with the same projects:",
            f"  (umask 077; kubectl exec -n {namespace} deploy/{name} -c orchestrator -- \\",
            f"    orchestrator-api create-token --user {YOU} --name demo --days 7 \\",
            f"    --scope write --scope approve --scope admin > {token_file})",
            f"  kubectl port-forward -n {namespace} svc/{name} {port}:8080 &",
            f"  export ORCHESTRATOR_API_URL=http://127.0.0.1:{port} \\",
            f"    ORCHESTRATOR_API_TOKEN_FILE={token_file}",
            "  orchestrator project create todo-app",
            "  orchestrator project list",
        ]
    )


def in_the_page(page: Page) -> str:
    """Where a person goes on talking to the same agent, in a browser."""
    return "\n".join(
        [
            "Talk to your agent in a browser, on a page that stands in for Telegram:",
            f"  {page.url}?as={YOU}",
            f"  From another machine, first: ssh -L {page.port}:127.0.0.1:{page.port} THIS-MACHINE",
        ]
    )


def in_telegram(settings: Settings) -> str:
    """What a person does in Telegram itself."""
    if settings.telegram_users:
        return "Talk to your agent: write to your bot in Telegram."
    return (
        "Write to your bot in Telegram: it says what your id is. Nobody is let in yet; then run\n"
        "  TELEGRAM_USERS=YOUR-ID make demo     # with TELEGRAM_TOKEN as before"
    )


def _apply(cluster: Cluster, manifest: dict[str, Any]) -> dict[str, Any]:
    applied: dict[str, Any] = json.loads(
        cluster.kubectl("apply", "-f", "-", "-o", "json", stdin=json.dumps(manifest))
    )
    return applied


def _wait_for_answer(
    cluster: Cluster, names: Names, generation: int, start: float
) -> dict[str, Any]:
    """The turn that answers the prompt of this generation: its message id ends in it."""
    while time.monotonic() - start < ANSWER_SECONDS:
        seen = json.loads(
            cluster.kubectl(
                "get", "agentsession", SESSION, "-n", names.sessions_namespace, "-o", "json"
            )
        )
        status = seen.get("status", {})
        handled = str(status.get("lastHandledMessageID", "")).rpartition(".")[2]
        if handled.isdigit() and int(handled) >= generation:
            turn: dict[str, Any] = status["lastTurn"]
            return turn
        time.sleep(0.5)
    described = cluster.kubectl("describe", "agentsession", SESSION, "-n", names.sessions_namespace)
    raise WorkbenchError(
        f"no answer within {ANSWER_SECONDS} s",
        "the conditions and Events above say what it waits for",
        described,
    )


def _next_steps(cluster: Cluster, names: Names) -> str:
    namespace = names.sessions_namespace
    # Where kubectl-agents is installed: beside the Python that runs this.
    programs = Path(sys.executable).parent
    return "\n".join(
        [
            "Go on with:",
            f"  export KUBECONFIG={cluster.kubeconfig}",
            f"  export PATH={programs}:$PATH",
            f"  kubectl agents chat {SESSION} -n {namespace}",
            f"  kubectl agents why {SESSION} -n {namespace}",
            f"  kubectl describe agentsession {SESSION} -n {namespace}",
            f"  kubectl patch agentsession {SESSION} -n {namespace} --type merge \\",
            '      -p \'{"spec":{"prompt":"What did I say first?"}}\'',
            "  make cluster-down     # leaves nothing behind",
        ]
    )
