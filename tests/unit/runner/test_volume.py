"""What the runner writes to a volume that an agent prepared."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentsession_runner.drivers.claude_code.config_directory import (
    unfit_skills,
    write_config_directory,
)
from agentsession_runner.orders import Skill
from agentsession_runner.platform_skills import find_platform_skills
from agentsession_runner.safe_files import (
    ensure_directory,
    open_directory,
    read_small_file,
    remove,
    replace_tree,
    write_file,
)
from agentsession_runner.workspace import StoredSession, Workspace
from agentsession_runner.workspace_trouble import WorkspaceError

ID = "11111111-1111-4111-8111-111111111111"
SECRET = "do not touch"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What a link may lead to; must stay as it is."""
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "file").write_text(SECRET)
    return directory


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "workspace"
    directory.mkdir()
    return directory


@pytest.fixture
def descriptor(root: Path) -> Iterator[int]:
    with open_directory(str(root)) as opened:
        yield opened


def untouched(outside: Path) -> bool:
    names = [path.name for path in outside.iterdir()]
    return names == ["file"] and (outside / "file").read_text() == SECRET


def test_a_file_replaces_a_link_not_its_target(root: Path, outside: Path, descriptor: int) -> None:
    (root / "a").symlink_to(outside / "file")
    (root / ".runner-new-a").symlink_to(outside / "file")
    write_file("a", "new", descriptor)
    assert (root / "a").read_text() == "new"
    assert not (root / "a").is_symlink()
    assert untouched(outside)


def test_a_file_replaces_a_directory(root: Path, descriptor: int) -> None:
    (root / "a" / "b").mkdir(parents=True)
    write_file("a", "new", descriptor)
    assert (root / "a").read_text() == "new"


@pytest.mark.parametrize("kind", ["link", "file", "pipe"])
def test_a_directory_replaces_what_is_none(
    root: Path, outside: Path, descriptor: int, kind: str
) -> None:
    if kind == "link":
        (root / "d").symlink_to(outside)
    elif kind == "file":
        (root / "d").write_text("x")
    else:
        os.mkfifo(root / "d")
    with ensure_directory("d", descriptor) as directory:
        write_file("x", "y", directory)
    assert (root / "d" / "x").read_text() == "y"
    assert untouched(outside)


def test_a_tree_replaces_everything_of_its_name(root: Path, outside: Path, descriptor: int) -> None:
    (root / "t" / "old").mkdir(parents=True)
    (root / "t" / "old" / "x").write_text("x")
    (root / "t" / "link").symlink_to(outside)
    for name in (".runner-new-t", ".runner-old-t"):
        (root / name).symlink_to(outside)
    replace_tree("t", [("a/SKILL.md", "one"), ("a/b/run.sh", "#!/bin/sh\n")], descriptor)
    found = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    assert found == ["t/a/SKILL.md", "t/a/b/run.sh"]
    assert os.access(root / "t" / "a" / "b" / "run.sh", os.X_OK)
    assert not os.access(root / "t" / "a" / "SKILL.md", os.X_OK)
    assert untouched(outside)


def test_a_tree_in_place_of_a_link(root: Path, outside: Path, descriptor: int) -> None:
    (root / "t").symlink_to(outside)
    replace_tree("t", [("x", "y")], descriptor)
    assert not (root / "t").is_symlink()
    assert untouched(outside)


def test_removal_takes_directories_without_rights(root: Path, descriptor: int) -> None:
    (root / "t" / "locked" / "deep").mkdir(parents=True)
    (root / "t" / "locked").chmod(0)
    remove("t", descriptor)
    assert not (root / "t").exists()


def test_removal_takes_directories_deeper_than_recursion_goes(root: Path, descriptor: int) -> None:
    (root / "t").mkdir()
    (root / "t" / ".runner-old-0").write_text("in the way")
    here = os.open(root / "t", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        os.mkdir("sibling", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    remove("t", descriptor)
    assert not (root / "t").exists()


@pytest.mark.parametrize("kind", ["missing", "link", "directory", "pipe", "large", "binary"])
def test_only_small_regular_files_are_read(
    root: Path, outside: Path, descriptor: int, kind: str
) -> None:
    path = root / "f"
    if kind == "link":
        path.symlink_to(outside / "file")
    elif kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "large":
        path.write_bytes(b"x" * 100_000)
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe")
    assert read_small_file("f", descriptor) is None


@pytest.mark.parametrize("kind", ["nothing", "link", "directory", "pipe"])
async def test_the_lock_survives_what_stands_in_its_place(
    root: Path, outside: Path, kind: str
) -> None:
    place = root / ".agentsession"
    if kind == "link":
        place.symlink_to(outside)
    elif kind == "directory":
        (place / "lock").mkdir(parents=True)
    elif kind == "pipe":
        place.mkdir()
        os.mkfifo(place / "lock")
    workspace = Workspace(root)
    await workspace.lock(print)
    workspace.unlock()
    assert (place / "lock").is_file()
    assert untouched(outside)


async def test_a_lock_without_rights_is_the_same_lock(root: Path) -> None:
    holder = Workspace(root)
    await holder.lock(print)
    lock = root / ".agentsession" / "lock"
    lock.chmod(0)
    said: list[str] = []
    other = asyncio.create_task(Workspace(root).lock(said.append))
    async with asyncio.timeout(10):
        while not said:  # noqa: ASYNC110 - the report is called from another task
            await asyncio.sleep(0.01)
        assert "another pod still uses" in said[0]
        holder.unlock()
        await other


async def test_an_absent_volume_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="nowhere"):
        await Workspace(tmp_path / "nowhere").lock(print)


def test_the_session_record_goes_to_the_volume_and_back(root: Path, outside: Path) -> None:
    workspace = Workspace(root)
    assert workspace.read_session() is None
    (root / ".agentsession").mkdir()
    (root / ".agentsession" / "session.json").symlink_to(outside / "file")
    assert workspace.read_session() is None
    session = StoredSession(2, ID, 5)
    workspace.write_session(session)
    assert workspace.read_session() == session
    assert untouched(outside)


@pytest.mark.parametrize("name", ["deploy", "a", "a-b-9", "x" * 64])
def test_fit_skill_names(name: str) -> None:
    assert unfit_skills([Skill(name, (("SKILL.md", "x"), ("scripts/a.sh", "y")))]) == {}


@pytest.mark.parametrize(
    "name", ["", "..", "A", "a_b", "-a", "a-", "a--b", "a/b", "a\n", "x" * 65, "é"]
)
def test_unfit_skill_names(name: str) -> None:
    assert name in unfit_skills([Skill(name, (("SKILL.md", "x"),))])


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc/x",
        "a/../x",
        "a//x",
        "./x",
        "a/",
        "",
        "a\\x",
        "a\0x",
        "a\nx",
        "x" * 256,
        "/".join("abcdefghi"),
        "SKILL.md",
        "SKILL.md/x",
    ],
)
def test_unfit_skill_paths(path: str) -> None:
    assert "deploy" in unfit_skills([Skill("deploy", (("SKILL.md", "x"), (path, "y")))])


def test_a_file_below_another_file_is_unfit() -> None:
    files = (("SKILL.md", "x"), ("a", "y"), ("a/b/c", "z"))
    assert "deploy" in unfit_skills([Skill("deploy", files)])


def test_a_skill_without_its_main_file_or_given_twice_is_unfit() -> None:
    good = Skill("deploy", (("SKILL.md", "x"),))
    assert "no SKILL.md" in unfit_skills([Skill("deploy", (("README.md", "x"),))])["deploy"]
    assert "two of that name" in unfit_skills([good, good])["deploy"]


def test_the_configuration_directory_is_ours_and_memories_stay(root: Path, outside: Path) -> None:
    config = root / ".agentsession" / "claude-code"
    for name in ("agents", "commands", "plugins", "rules", "hooks", "backups", "projects/p"):
        (config / name).mkdir(parents=True)
        (config / name / "left.md").write_text("left")
    for name in ("settings.local.json", ".credentials.json", "CLAUDE.local.md"):
        (config / name).write_text("left")
    (config / ".claude.json").write_text('{"mcpServers": {"left": {}}}')
    (config / "skills").symlink_to(outside)
    skill = Skill("deploy", (("SKILL.md", "how"),))
    for instructions in ("Be brief.", ""):
        write_config_directory(root, settings={"a": 1}, instructions=instructions, skills=[skill])
        expected = {".claude.json", "projects", "settings.json", "skills", "CLAUDE.md"}
        assert {path.name for path in config.iterdir()} == expected
    assert "withdrawn" in (config / "CLAUDE.md").read_text()
    assert (config / "projects" / "p" / "left.md").read_text() == "left"
    assert json.loads((config / "settings.json").read_text()) == {"a": 1}
    assert json.loads((config / ".claude.json").read_text())["mcpServers"] == {}
    assert [path.name for path in (config / "skills").iterdir()] == ["deploy"]
    assert untouched(outside)


def test_the_images_skills_are_linked_and_the_operators_stand_in_their_place(
    root: Path, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    for name in ("deploy", "project"):
        (image / name).mkdir(parents=True)
        (image / name / "SKILL.md").write_text("the image's")
    (image / "no-skill").mkdir()
    found = find_platform_skills(str(image), {"ORCHESTRATOR_API_URL": "http://api"})
    assert found == {name: str(image / name) for name in ("deploy", "project")}
    skills = root / ".agentsession" / "claude-code" / "skills"
    for _ in range(2):
        write_config_directory(
            root,
            settings={},
            instructions="",
            skills=[Skill("deploy", (("SKILL.md", "the operator's"),))],
            platform_skills=found,
        )
        # What an agent leaves, links to elsewhere among it, is gone with the next writing.
        assert sorted(path.name for path in skills.iterdir()) == ["deploy", "project"]
        assert (skills / "deploy" / "SKILL.md").read_text() == "the operator's"
        assert (skills / "project").readlink() == image / "project"
        (skills / "project").unlink()
        (skills / "project").symlink_to(tmp_path)
        (skills / "left").mkdir()
    assert (image / "project" / "SKILL.md").read_text() == "the image's"


def test_without_an_orchestrator_there_is_nothing_to_teach(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "SKILL.md").write_text("x")
    assert find_platform_skills(str(tmp_path), {}) == {}
    known = {"ORCHESTRATOR_API_URL": "http://api"}
    assert find_platform_skills(str(tmp_path / "missing"), known) == {}


@pytest.mark.parametrize("kind", ["link", "file", "pipe"])
def test_what_stands_in_the_place_of_the_conversations_goes(
    root: Path, outside: Path, kind: str
) -> None:
    config = root / ".agentsession" / "claude-code"
    config.mkdir(parents=True)
    for name in ("projects", "todos"):
        if kind == "link":
            (config / name).symlink_to(outside)
        elif kind == "file":
            (config / name).write_bytes(b"x" * 100_000)
        else:
            os.mkfifo(config / name)
    write_config_directory(root, settings={}, instructions="", skills=[])
    assert not {"projects", "todos"} & {path.name for path in config.iterdir()}
    assert untouched(outside)
