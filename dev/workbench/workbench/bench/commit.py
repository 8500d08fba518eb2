"""Which state of the sources figures are of."""

from __future__ import annotations

from pathlib import Path

from workbench.commands import run
from workbench.console import WorkbenchError


def commit_of(clone: Path) -> str:
    """The commit that is checked out, and whether anything was changed since."""
    git = ("git", "-C", str(clone))
    try:
        commit = run([*git, "rev-parse", "--short=12", "HEAD"]).strip()
        changed = run([*git, "status", "--porcelain", "--untracked-files=no"]).strip()
    except WorkbenchError:
        return "unknown"
    return f"{commit} with changes" if changed else commit
