"""Claude Code's configuration directory on the volume: ours at every start, the agent's memory kept.

Everything but the names in `KEPT` is removed: hooks, MCP servers, plugins, agents, commands,
rules, credentials and settings that an agent left behind have nowhere else to be.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from agentsession_runner.drivers.claude_code.saved_conversation import PROJECTS
from agentsession_runner.orders import Skill
from agentsession_runner.safe_files import (
    ensure_directory,
    is_directory,
    names_in,
    open_directory,
    remove,
    replace_tree,
    write_file,
)
from agentsession_runner.workspace import RUNNER_DIRECTORY

DIRECTORY: Final = "claude-code"
SETTINGS: Final = "settings.json"
STATE: Final = ".claude.json"
INSTRUCTIONS: Final = "CLAUDE.md"
# A conversation keeps what it was told until the same file says otherwise.
NO_INSTRUCTIONS: Final = (
    "(The instructions that stood here before are withdrawn; there are none now.)"
)
SKILLS: Final = "skills"
TEMPORARY: Final = "tmp"
# Conversations and what belongs to them; the CLI remakes the rest.
KEPT: Final = frozenset({PROJECTS, "todos", "tasks", "plans", "file-history"})

SKILL_NAME: Final = re.compile(r"(?=.{1,64}\Z)[a-z0-9]+(-[a-z0-9]+)*")
PATH_LIMIT: Final = 255
PATH_DEPTH_LIMIT: Final = 8


def unfit_skills(skills: Sequence[Skill]) -> dict[str, str]:
    """The skills that cannot be written, by name, with the reason."""
    reasons: dict[str, str] = {}
    seen: set[str] = set()
    for skill in skills:
        reason = _unfit(skill)
        if skill.name in seen:
            reason = "there are two of that name"
        seen.add(skill.name)
        if reason:
            reasons[skill.name] = reason
    return reasons


def _unfit(skill: Skill) -> str:
    if not SKILL_NAME.fullmatch(skill.name):
        return "a name is 1 to 64 of a-z, 0-9 and single hyphens between them"
    paths = [path for path, _ in skill.files]
    if "SKILL.md" not in paths:
        return "it has no SKILL.md"
    if len(set(paths)) != len(paths):
        return "it has a file twice"
    folders = {folder for path in paths for folder in _folders(path)}
    bad = next((path for path in paths if not _is_fit_path(path) or path in folders), None)
    return f"unfit path {bad!r}" if bad is not None else ""


def _folders(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _is_fit_path(path: str) -> bool:
    parts = path.split("/")
    return (
        len(path.encode()) <= PATH_LIMIT
        and len(parts) <= PATH_DEPTH_LIMIT
        and path.isprintable()
        and "\\" not in path
        and all(part not in ("", ".", "..") for part in parts)
    )


def write_config_directory(
    workspace: Path,
    *,
    settings: Mapping[str, Any],
    instructions: str,
    skills: Sequence[Skill],
    platform_skills: Mapping[str, str] | None = None,
    directories: Sequence[str] = (),
) -> None:
    """Make the configuration directory ours, with empty `directories`. Skills must be checked.

    `platform_skills`: the image's own, name to folder; they are linked, and one of `skills` that has
    the same name stands in its place.

    Raises:
        OSError: the volume refuses.
    """
    files = [(f"{skill.name}/{path}", content) for skill in skills for path, content in skill.files]
    taken = {skill.name for skill in skills}
    links = {name: path for name, path in (platform_skills or {}).items() if name not in taken}
    with (
        open_directory(str(workspace)) as root,
        ensure_directory(RUNNER_DIRECTORY, root) as runner,
        ensure_directory(DIRECTORY, runner) as directory,
    ):
        names = names_in(directory)
        for name in names:
            if name not in KEPT or not is_directory(name, directory):
                remove(name, directory)
        write_file(SETTINGS, _json(settings), directory)
        write_file(STATE, _json({"mcpServers": {}, "projects": {}}), directory)
        if instructions or INSTRUCTIONS in names:
            write_file(INSTRUCTIONS, instructions or NO_INSTRUCTIONS, directory)
        replace_tree(SKILLS, files, directory, links)
        for name in directories:
            replace_tree(name, (), directory)


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"
