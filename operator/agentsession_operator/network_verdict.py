"""What it means that a pod like a run's reaches something, or does not. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SEALED: Final = 0
REACHED: Final = 1
UNKNOWN: Final = 2

PLUGINS: Final = (
    "Calico, Cilium, Antrea, kube-router, OVN-Kubernetes; GKE Dataplane V2, the network policy option "
    "of EKS' VPC CNI or of AKS; kind from 0.24, k3s"
)


@dataclass(frozen=True)
class Target:
    """Something that must not be reached.

    `proven` says that something listens there for certain: the gateway uses it, or its node has
    reached it. Only then does being reached or not say anything about the whole network.
    """

    name: str
    host: str
    port: int
    proven: bool = True

    def __str__(self) -> str:
        return f"{self.name} ({self.host}:{self.port})"


@dataclass(frozen=True)
class Finding:
    """What became of one target; `open_seconds` is when, from the start, it was last reached."""

    target: Target
    reached: bool
    detail: str
    open_seconds: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """Lines for people, the last ones with what to do, and the exit code."""

    lines: tuple[str, ...]
    code: int


def judge(findings: Sequence[Finding], namespace: str, *, policies: bool) -> Verdict:
    """What the findings mean. `policies`: whether the chart was told to make any."""
    lines = [_line(finding) for finding in findings]
    reached = [finding.target for finding in findings if finding.reached]
    if not reached:
        return Verdict((*lines, "Agents are sealed: the NetworkPolicies are enforced."), SEALED)
    proven = [finding.target for finding in findings if finding.target.proven]
    if all(target in reached for target in proven):
        lines.append(f"NOT SEALED: agents in {namespace} reach everything that was tried.")
        if not policies:
            lines.append(
                "networkPolicy.enabled is false. Set it to true, or seal the namespace yourself."
            )
        else:
            lines += [
                "Either the cluster's network plugin enforces no NetworkPolicy: use one that does",
                f"({PLUGINS}).",
                "Or the release's policies are gone: see whether they are there with",
                f"`kubectl -n {namespace} get networkpolicies`, and bring them back with `helm upgrade`.",
            ]
    else:
        names = ", ".join(str(target) for target in reached)
        lines += [
            f"NOT SEALED: agents in {namespace} reach {names}.",
            "Another NetworkPolicy may allow it: policies add up "
            f"(`kubectl -n {namespace} get networkpolicies`).",
            "An address that is public, such as some API servers', goes into networkPolicy.extraDenied.",
        ]
    return Verdict(tuple(lines), REACHED)


def _line(finding: Finding) -> str:
    if finding.reached:
        return f"REACHED  {finding.target}: {finding.detail}"
    late = f", but open for the first {finding.open_seconds:.1f} s" if finding.open_seconds else ""
    return f"sealed   {finding.target}: {finding.detail}{late}"
