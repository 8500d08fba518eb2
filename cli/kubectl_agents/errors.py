"""Errors as people see them: the cause, the next thing to do, and a documented exit code."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes. `docs/kubectl-plugin.md` lists them; a test holds it to this."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    UNREACHABLE = 5
    REFUSED = 6
    TIMED_OUT = 7
    INTERRUPTED = 130


MEANINGS = {
    Exit.OK: "done; for a message: the turn succeeded",
    Exit.FAILED: "the turn did not succeed, or something went wrong that has no code of its own",
    Exit.USAGE: "the command line cannot be meant",
    Exit.NOT_FOUND: "there is no such session, or no release in the namespace",
    Exit.NOT_ALLOWED: "the cluster or the gateway does not allow it",
    Exit.UNREACHABLE: "the cluster or the gateway cannot be reached",
    Exit.REFUSED: "the session is in no state for it",
    Exit.TIMED_OUT: "it did not happen within --timeout",
    Exit.INTERRUPTED: "ended by ctrl-c",
}


class PluginError(Exception):
    """Something cannot be done."""

    def __init__(self, code: Exit, cause: str, next_step: str = "") -> None:
        super().__init__(cause)
        self.code = code
        self.cause = cause
        self.next_step = next_step
