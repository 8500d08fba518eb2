"""Which pods' processes were on which workspace, and whether two were at once. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Stay:
    """How long a pod's processes were on a workspace. Monotonic seconds; `until` None: still."""

    pod: str
    since: float
    until: float | None = None


class Occupancy:
    """Every stay, by workspace. `on_overlap` is told of two pods at once.

    Not of those whose Job had a pod before: the Job controller makes a second one for a Job whose first
    it has lost sight of, and no operator can keep it from that. They are in `replacements`.
    """

    def __init__(self, on_overlap: Callable[[str, str], None]) -> None:
        self._on_overlap = on_overlap
        self._jobs: dict[str, list[str]] = {}
        self.stays: dict[str, list[Stay]] = {}
        self.replacements: list[str] = []

    def enter(self, workspace: str, pod: str, job: str, now: float) -> None:
        """A pod's processes begin on a workspace."""
        self._jobs.setdefault(job, []).append(pod)
        stays = self.stays.setdefault(workspace, [])
        others = [stay.pod for stay in stays if stay.until is None]
        if others:
            what = f"{pod} started while {', '.join(others)} ran"
            if self._are_replacements([pod, *others]):
                self.replacements.append(what)
            else:
                self._on_overlap(workspace, what)
        stays.append(Stay(pod, now))

    def leave(self, workspace: str, pod: str, now: float) -> None:
        """They have ended."""
        self.stays[workspace] = [
            replace(stay, until=now) if stay.pod == pod and stay.until is None else stay
            for stay in self.stays[workspace]
        ]

    def _are_replacements(self, names: list[str]) -> bool:
        """Whether a Job of one of these pods has had another pod before it."""
        return any(name in pods[1:] for pods in self._jobs.values() for name in names)
