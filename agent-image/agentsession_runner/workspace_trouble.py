"""Why a workspace takes no writes, in words for a person. Pure."""

from __future__ import annotations

import errno
from typing import Final

from agentsession_runner.reports import Problem

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
READ_ONLY: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
FULL_CODE: Final = "workspace_full"
READ_ONLY_CODE: Final = "workspace_read_only"
UNUSABLE_CODE: Final = "workspace_unusable"

FULL_MESSAGE: Final = (
    "the workspace is full, so nothing more can be saved, this conversation included: ask the agent "
    "to delete files it does not need, or enlarge the volume claim (new sessions: "
    "workspace.volumeClaimTemplate)"
)
READ_ONLY_MESSAGE: Final = (
    "the workspace cannot be written, so nothing can be saved: the volume must be mounted "
    "read-write and belong to the agent's group (fsGroup)"
)


class WorkspaceError(Exception):
    """The volume cannot be used; the message says what and where.

    `lasting` says that another pod would meet the same: then the run stays and its turns are
    answered with `problem`, which a person can act on.
    """

    def __init__(self, action: str, error: OSError) -> None:
        super().__init__(f"{action}: {error}")
        self.problem = problem_of(error)
        self.lasting = self.problem.code != UNUSABLE_CODE
        self.is_full = self.problem.code == FULL_CODE


def problem_of(error: OSError) -> Problem:
    """What a refused write means to a person."""
    if error.errno in FULL:
        return Problem(FULL_CODE, f"{FULL_MESSAGE} ({error})")
    if error.errno in READ_ONLY:
        return Problem(READ_ONLY_CODE, f"{READ_ONLY_MESSAGE} ({error})")
    return Problem(UNUSABLE_CODE, f"the workspace cannot be used ({error})")
