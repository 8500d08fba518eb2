"""`helm test`: whether a pod like a run's is sealed, told from inside of one.

    python -m agentsession_operator.network_check probe ...
    python -m agentsession_operator.network_check listen --port 8080

Exit codes of `probe`: 0 sealed, 1 something is reached that must not be, 2 it cannot be told because
what must work does not. The operator has this code because it is the one who makes such pods.
"""

from __future__ import annotations

import argparse
import http.client
import socket
import socketserver
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from typing import Final

from agentsession_operator.network_verdict import UNKNOWN, Finding, Target, judge

CONNECT_SECONDS: Final = 3.0
# Network plugins that work asynchronously leave a new pod open for a moment.
SETTLE_SECONDS: Final = 20.0
CONTROL_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 0.5
Reach = Callable[[Target], tuple[bool, str]]
Clock = Callable[[], float]
Sleep = Callable[[float], None]


def try_targets(
    targets: Sequence[Target], reach: Reach, clock: Clock, sleep: Sleep
) -> list[Finding]:
    """Tries each until it is not reached, or SETTLE_SECONDS have passed."""
    start = clock()
    found: dict[Target, Finding] = {}
    pending = list(targets)
    while True:
        for target in pending:
            reached, detail = reach(target)
            before = found.get(target)
            spent = clock() - start if reached else before.open_seconds if before else 0.0
            found[target] = Finding(target, reached, detail, spent)
        pending = [target for target in pending if found[target].reached]
        if not pending or clock() - start >= SETTLE_SECONDS:
            return [found[target] for target in targets]
        sleep(PAUSE_SECONDS)


def reach(target: Target) -> tuple[bool, str]:
    """Connects once. A name that does not resolve is an error of the check: raises OSError."""
    addresses = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    detail = ""
    for family, kind, protocol, _, address in addresses:
        with socket.socket(family, kind, protocol) as client:
            client.settimeout(CONNECT_SECONDS)
            try:
                client.connect(address)
            except TimeoutError:
                detail = "no answer"
            except OSError as error:
                detail = error.strerror or str(error)
            else:
                return True, f"{address[0]} accepts connections"
    return False, detail


class ControlError(Exception):
    """Something that must work does not; the message says what to do."""


def wait_until(what: str, attempt: Callable[[], object], clock: Clock, sleep: Sleep) -> None:
    """Calls until it raises no OSError. Raises ControlError with the last one."""
    deadline = clock() + CONTROL_SECONDS
    while True:
        try:
            attempt()
        except (OSError, http.client.HTTPException) as error:
            if clock() >= deadline:
                raise ControlError(f"{what}: {error}") from error
            sleep(PAUSE_SECONDS)
        else:
            return


def ask_gateway(url: str) -> None:
    """200 says that it runs, and that it reaches Redis and the API server. Raises OSError."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=CONNECT_SECONDS):  # noqa: S310 - from the chart
            return
    except urllib.error.HTTPError as error:
        raise OSError(f"{error.code} {error.read().decode(errors='replace')}") from error


def check_controls(gateway: str, peer: Target, clock: Clock, sleep: Sleep) -> None:
    """What has to work, or a cluster in which nothing works would look sealed. Raises ControlError."""
    host = urllib.parse.urlsplit(gateway).hostname or ""
    wait_until(
        f"{host} does not resolve. networkPolicy.dns has to name where the cluster's DNS answers",
        lambda: socket.getaddrinfo(host, None),
        clock,
        sleep,
    )
    wait_until(
        f"the gateway at {gateway} is not ready. See its log; from here it has to be reached",
        lambda: ask_gateway(gateway),
        clock,
        sleep,
    )
    # The name of a headless Service resolves once its pod is ready, that is, its node has reached it.
    wait_until(
        f"{peer} is not ready. See `kubectl describe pod` of it",
        lambda: socket.getaddrinfo(peer.host, peer.port),
        clock,
        sleep,
    )


def probe(arguments: argparse.Namespace) -> int:
    """Prints what was found; answers the exit code."""
    targets = [*arguments.sealed, *arguments.unproven, arguments.peer]
    try:
        check_controls(arguments.gateway, arguments.peer, time.monotonic, time.sleep)
        print("works    DNS, the gateway, and from there Redis and the API server")
        findings = try_targets(targets, reach, time.monotonic, time.sleep)
    except ControlError as error:
        print(f"IT CANNOT BE TOLD whether agents are sealed: {error}")
        return UNKNOWN
    except OSError as error:
        print(f"IT CANNOT BE TOLD whether agents are sealed: a target does not resolve: {error}")
        return UNKNOWN
    verdict = judge(findings, arguments.namespace, policies=arguments.policies)
    print("\n".join(verdict.lines))
    return verdict.code


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def listen(arguments: argparse.Namespace) -> int:
    """Accepts connections and closes them, until it is ended."""
    with _Server(("", arguments.port), socketserver.BaseRequestHandler) as server:
        server.serve_forever()
    return 0


def parse_target(text: str, *, proven: bool = True) -> Target:
    """Reads `NAME=HOST:PORT`. Raises ValueError."""
    name, _, address = text.partition("=")
    host, _, port = address.rpartition(":")
    if not (name and host):
        raise ValueError(f"{text!r} is not NAME=HOST:PORT")
    return Target(name, host, int(port), proven)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="network_check", description=__doc__)
    commands = parser.add_subparsers(required=True)
    probing = commands.add_parser("probe", help="tell whether this pod is sealed")
    probing.set_defaults(run=probe)
    probing.add_argument("--namespace", required=True, help="this pod's, for the texts")
    probing.add_argument("--gateway", required=True, help="URL that has to be reached")
    probing.add_argument(
        "--peer", required=True, type=parse_target, help="another pod, NAME=HOST:PORT"
    )
    probing.add_argument(
        "--sealed", action="append", default=[], type=parse_target, help="a Service, NAME=HOST:PORT"
    )
    probing.add_argument(
        "--unproven",
        action="append",
        default=[],
        type=lambda text: parse_target(text, proven=False),
        help="where perhaps nothing listens, NAME=HOST:PORT",
    )
    probing.add_argument("--without-policies", dest="policies", action="store_false")
    listening = commands.add_parser("listen", help="be the other pod")
    listening.set_defaults(run=listen)
    listening.add_argument("--port", type=int, required=True)
    return parser.parse_args(arguments)


def main() -> None:
    """Entry point."""
    arguments = parse(sys.argv[1:])
    sys.exit(arguments.run(arguments))


if __name__ == "__main__":
    main()
