"""Who is told what a script call has changed: once per change, by the process that made the call."""

from __future__ import annotations

from agentsession_core.mailbox.stages import Passed


class Observer:
    """Is told, and does nothing with it. Never raises."""

    def message_came(self, source: str, admission: str) -> None:
        """A message was taken, or was not (`admission` is one of the model's words)."""

    def run_began(self, launch: str) -> None:
        """A run became its mailbox's current one."""

    def run_greeted(self, launch: str, seconds: float) -> None:
        """A run's runner said its first hello, so many seconds after the run was begun."""

    def run_failed(self, reason: str, *, greeted: bool) -> None:
        """A run ended before its time, before or after its hello."""

    def turn_given(self, *, again: bool) -> None:
        """A run was given a new turn, or (`again`) one that another run has left behind."""

    def stage_passed(self, passed: Passed) -> None:
        """The oldest message of a turn has passed a stage, for the first time."""

    def turn_cut_off(self, *, own: bool) -> None:
        """A turn's run ended in its middle; `own`: by its own doing."""

    def turn_ended(self, source: str, outcome: str) -> None:
        """A turn has its end."""

    def notices_given(self, kind: str, count: int) -> None:
        """People were told something that answers no turn."""

    def dead_lettered(self, reason: str, count: int) -> None:
        """Messages were given up."""

    def message_lost(self) -> None:
        """A message that Redis has lost was told to its sender."""
