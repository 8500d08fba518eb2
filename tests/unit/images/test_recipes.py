from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from imagebuild.recipes import (
    RECIPES,
    InputFile,
    Recipe,
    content_tag,
    input_files,
    parse_ignore_file,
)
from localcluster.errors import ClusterError

ROOT = Path(__file__).resolve().parents[3]
RECIPE = Recipe("thing", "images/thing.Dockerfile")
FILES = [InputFile("a", False, b"1"), InputFile("b", True, b"2")]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/thing.Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "images/thing.Dockerfile.dockerignore").write_text(
        "# what goes in\n*\n!code\n!one.txt\n**/__pycache__\n"
    )
    (tmp_path / "code/deep/__pycache__").mkdir(parents=True)
    (tmp_path / "code/deep/x.py").write_text("x")
    (tmp_path / "code/deep/__pycache__/x.pyc").write_text("bytecode")
    (tmp_path / "one.txt").write_text("1")
    (tmp_path / "other.txt").write_text("not part of it")
    return tmp_path


def test_the_inputs_are_the_dockerfile_and_what_the_ignore_file_lets_in(tree: Path) -> None:
    assert [file.path for file in input_files(tree, RECIPE)] == [
        "code/deep/x.py",
        "images/thing.Dockerfile",
        "images/thing.Dockerfile.dockerignore",
        "one.txt",
    ]


def test_a_missing_input_is_named(tree: Path) -> None:
    (tree / "one.txt").unlink()
    with pytest.raises(ClusterError, match=r"thing is built from one\.txt, which does not exist"):
        input_files(tree, RECIPE)


def test_an_ignore_file_that_cannot_be_understood_is_an_error(tree: Path) -> None:
    (tree / RECIPE.ignore_file).write_text("node_modules\n")
    with pytest.raises(ClusterError, match="the first rule must be"):
        input_files(tree, RECIPE)


@pytest.mark.parametrize("line", ["code", "a/**/b", "**/a/b", "*.py"])
def test_other_forms_of_rules_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match="is neither"):
        parse_ignore_file(f"*\n{line}\n")


def test_the_same_content_has_the_same_tag() -> None:
    assert content_tag(RECIPE, FILES, "base") == content_tag(RECIPE, list(FILES), "base")


@pytest.mark.parametrize(
    "changed",
    [
        [InputFile("a", False, b"1")],
        [InputFile("a", True, b"1"), FILES[1]],
        [InputFile("a", False, b"9"), FILES[1]],
        [InputFile("c", False, b"1"), FILES[1]],
        # The same bytes in all, divided in another way.
        [InputFile("a", False, b"1b True 1\n2")],
    ],
)
def test_any_change_changes_the_tag(changed: list[InputFile]) -> None:
    assert content_tag(RECIPE, changed, "base") != content_tag(RECIPE, FILES, "base")


def test_base_and_target_change_the_tag() -> None:
    tags = {
        content_tag(RECIPE, FILES, "base"),
        content_tag(RECIPE, FILES, "newer base"),
        content_tag(Recipe("thing", RECIPE.dockerfile, target="t"), FILES, "base"),
    }
    assert len(tags) == 3


def test_a_tag_is_a_valid_tag_and_never_a_number() -> None:
    tag = content_tag(RECIPE, FILES, "base")
    assert re.fullmatch(r"src-[0-9a-f]{16}", tag)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_the_dockerfile_copies_only_what_its_build_sees(recipe: Recipe) -> None:
    allowed, _ = parse_ignore_file((ROOT / recipe.ignore_file).read_text())
    text = (ROOT / recipe.dockerfile).read_text()
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    if "." not in copied:
        assert sorted(copied) == sorted(allowed)
    for source in allowed:
        assert (ROOT / source).exists(), source


def last_stage(dockerfile: str, target: str | None) -> str:
    """The stage whose result is the image."""
    stages = [f"\nFROM {stage}" for stage in dockerfile.split("\nFROM ")[1:]]
    named = [stage for stage in stages if stage.splitlines()[1].endswith(f" AS {target}")]
    return named[0] if target else stages[-1]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_images_run_without_root_and_carry_nothing_of_the_machine(recipe: Recipe) -> None:
    text = (ROOT / recipe.dockerfile).read_text()
    final = last_stage(text, recipe.target)
    assert "\nUSER 1000:1000\n" in final
    assert "ca-bundle" not in final
    assert not re.search(r"^(ENV|ARG) .*(PROXY|CERT|INDEX|REGISTRY)", text, re.MULTILINE | re.I)
    assert text.count("ARG BASE=debian:trixie-slim\n") == 1


def test_the_wheel_s_folders_are_all_let_in() -> None:
    allowed, _ = parse_ignore_file((ROOT / "images/service.Dockerfile.dockerignore").read_text())
    text = (ROOT / "pyproject.toml").read_text()
    packages = re.findall(r'^ {4}"([\w./-]+/\w+)",$', text.partition("wheel]")[2], re.MULTILINE)
    assert packages
    assert set(packages) <= set(allowed)


def test_the_agent_image_has_what_the_orchestrator_command_needs() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    wanted = (ROOT / "requirements/agent.in").read_text().splitlines()
    assert [line for line in wanted if not line.startswith("#")] == extras["cli"]
    pins = re.compile(r"^[a-z0-9.-]+==[^ ]+", re.MULTILINE)
    tested = set(pins.findall((ROOT / "requirements/dev.txt").read_text()))
    pinned = set(pins.findall((ROOT / "requirements/agent.txt").read_text()))
    assert pinned
    assert pinned <= tested


def test_the_claude_code_binary_is_pinned_with_its_content() -> None:
    folder = ROOT / "images" / "claude-code"
    wanted = json.loads((folder / "package.json").read_text())["optionalDependencies"]
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert packages[""]["optionalDependencies"] == wanted
    assert len(set(wanted.values())) == 1, "one version for all processors"
    for name, version in wanted.items():
        entry = packages[f"node_modules/{name}"]
        assert entry["version"] == version
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", entry["integrity"])
        # Where it came from is the machine's own business.
        assert "resolved" not in entry


@pytest.mark.parametrize("name", ["service", "build", "node", "dev"])
def test_requirements_are_hashed_and_name_no_machine(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    pinned = re.findall(r"^[a-z0-9][\w.\[\]-]*==\S+", text, re.MULTILINE | re.I)
    assert len(pinned) > 1 or name == "node"
    assert text.count("--hash=sha256:") >= len(pinned)
    for word in ("://", "--index", "--find-links", "--trusted-host", "file:", " @ "):
        assert word not in text


def test_the_runner_says_the_version_that_is_pinned() -> None:
    pinned = json.loads((ROOT / "images" / "claude-code" / "package.json").read_text())
    versions = {*pinned["optionalDependencies"].values()}
    dockerfile = (ROOT / "images" / "agent.Dockerfile").read_text()
    assert versions == set(re.findall(r"AGENTSESSION_CLI_VERSION=(\S+)", dockerfile))
