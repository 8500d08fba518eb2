"""`kubectl agents` as people use it: the real kubectl, a real terminal, real pods, the real CLI."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

from agentsession_testing.agents_command import ENVIRONMENT, agents
from agentsession_testing.cluster import Product, reply_of
from agentsession_testing.terminal import CTRL_C, Terminal, at_terminal
from kubectl_agents.errors import Exit

NewName = Callable[[str], str]
SECONDS = 60.0


def names_in(tar: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        files = {member.name: opened.extractfile(member) for member in opened if member.isfile()}
        return {name: file.read() for name, file in files.items() if file}


def ask(terminal: Terminal, text: str) -> None:
    terminal.expect("> ", SECONDS)
    terminal.type(f"{text}\r")
    # The terminal's own echo.
    terminal.expect("\r\n", SECONDS)


def test_a_conversation_with_a_turn_that_is_stopped(product: Product, new_name: NewName) -> None:
    name = new_name("terminal")
    product.apply(product.manifest(name))
    product.wait(name, "a status", lambda seen: bool(seen.get("status")))
    command = ["kubectl", "agents", "chat", name, "-n", product.names.sessions_namespace]
    with at_terminal(command, ENVIRONMENT) as terminal:
        terminal.expect("/help says what there is", SECONDS)
        ask(terminal, "run: sleep 60")
        terminal.expect("Bash", SECONDS)
        terminal.type(CTRL_C)
        terminal.expect("✘ stopped", SECONDS)
        ask(terminal, f"run: echo {name} > note.txt && cat note.txt")
        terminal.expect("The command printed:", SECONDS)
        terminal.expect(name, SECONDS)
        terminal.expect("> ", SECONDS)
        terminal.type("/quit\r")
        assert terminal.wait() == Exit.OK
    status = product.wait(name, "both turns", lambda seen: turns_of(seen) == 2)["status"]
    assert status["runs"] == 1
    # A terminal's words stay out of the cluster's store.
    assert "reply" not in status["lastTurn"]
    assert name.encode() in agents(product, "last", name).stdout
    answered = agents(product, "chat", name, "--json", stdin=b"run: cat note.txt")
    assert json.loads(answered.stdout)["outcome"] == "Succeeded"
    assert name in json.loads(answered.stdout)["text"]


def turns_of(body: dict[str, object]) -> int:
    status = body.get("status") or {}
    assert isinstance(status, dict)
    return int((status.get("usage") or {}).get("turns", 0))


def test_a_workspace_of_a_live_and_of_a_sleeping_session(
    product: Product, new_name: NewName
) -> None:
    name = new_name("saved")
    prompt = f"run: echo {name} > note.txt && ln -s /etc/passwd link"
    product.answer(product.apply(product.manifest(name, prompt=prompt)))
    live = names_in(agents(product, "export", name).stdout)
    assert live == {"note.txt": f"{name}\n".encode()}
    agents(product, "suspend", name)
    product.wait_phase(name, "Suspended")
    refused = agents(product, "chat", name, stdin=b"hello", code=Exit.REFUSED)
    assert b"kubectl agents resume" in refused.stderr
    patched = product.patch(name, prompt="hello again")
    asleep = names_in(agents(product, "export", name).stdout)
    assert asleep == live
    # It sleeps again, without an answer to what waits and without a word of an agent.
    product.kubectl("wait", "--for=condition=Complete", f"job/{name}-r2", "--timeout=60s")
    seen = product.wait_phase(name, "Suspended")
    assert turns_of(seen) == 1
    assert [pod.status.phase for pod in product.pods(name)] == ["Succeeded", "Succeeded"]
    agents(product, "resume", name)
    assert reply_of(product.answer(patched))
    told = agents(product, "why", name).stdout.decode()
    assert f"{name} is awake" in told


def test_a_token_may_be_had_by_those_who_are_bound_to_the_role(
    product: Product, new_name: NewName, tmp_path: Path
) -> None:
    name = new_name("bound")
    product.apply(product.manifest(name))
    product.wait(name, "a status", lambda seen: bool(seen.get("status")))
    namespace = product.names.sessions_namespace
    person = f"person-{name}"
    product.kubectl("create", "serviceaccount", person)
    try:
        kubeconfig = _kubeconfig_of(product, person, tmp_path)
        refused = agents(product, "last", name, "--kubeconfig", kubeconfig, code=Exit.NOT_ALLOWED)
        assert b"agentsession-cli" in refused.stderr
        for where in (namespace, product.names.namespace):
            product.kubectl(
                "create", "rolebinding", person, f"--serviceaccount={namespace}:{person}",
                f"--role={product.names.release}-terminal-user", namespace=where,
            )  # fmt: skip
        assert agents(product, "last", name, "--kubeconfig", kubeconfig).stdout == b""
        agents(product, "keep", name, "--kubeconfig", kubeconfig)
    finally:
        product.kubectl("delete", "serviceaccount", person)
        for where in (namespace, product.names.namespace):
            product.kubectl("delete", "rolebinding", person, "--ignore-not-found", namespace=where)


def _kubeconfig_of(product: Product, person: str, folder: Path) -> str:
    """A kubeconfig with which kubectl is that ServiceAccount."""
    view = json.loads(product.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    view["users"] = [
        {
            "name": view["users"][0]["name"],
            "user": {"token": product.kubectl("create", "token", person).strip()},
        }
    ]
    cluster = view["clusters"][0]["cluster"]
    if "certificate-authority" in cluster:
        authority = Path(cluster.pop("certificate-authority")).read_bytes()
        cluster["certificate-authority-data"] = base64.b64encode(authority).decode()
    file = folder / "kubeconfig"
    file.write_text(json.dumps(view))
    return str(file)
