"""The front door and the docs say the same."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from agentsession_core.api import AgentSession, AgentSessionTemplate

ROOT = Path(__file__).parents[3]
TARGETS = re.findall(r"^([a-z-]+):.*?## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def test_make_alone_lists_every_target_with_a_line_of_help() -> None:
    shown = subprocess.run(
        ["make", "-C", str(ROOT)], capture_output=True, text=True, check=True
    ).stdout
    for target in (
        "demo",
        "test",
        "check",
        "cluster",
        "cluster-down",
        "images",
        "install",
        "bench",
        "bench-api",
        "bench-scale",
    ):
        assert re.search(rf"^  make {target} +\S", shown, re.MULTILINE), target
    phony = re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert sorted(phony) == sorted(TARGETS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_in_the_docs_exists(page: Path) -> None:
    named = re.findall(r"^\s*make ([a-z-]+)|`make ([a-z-]+)", page.read_text(), re.MULTILINE)
    unknown = {first or second for first, second in named} - set(TARGETS)
    assert unknown == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("example", sorted((ROOT / "docs" / "examples").glob("*.yaml")), ids=str)
def test_examples_are_valid(example: Path) -> None:
    kinds: dict[str, type[AgentSession | AgentSessionTemplate]] = {
        "AgentSession": AgentSession,
        "AgentSessionTemplate": AgentSessionTemplate,
    }
    for document in yaml.safe_load_all(example.read_text()):
        if document["kind"] == "ConfigMap":
            continue  # skills: tests/unit/gateway/test_given_skills.py reads them
        model = kinds[document["kind"]].from_api(document)
        # What a model does not know it leaves out: nothing of the example may be lost.
        shown = model.spec.to_api()
        assert {**shown, **document["spec"]} == shown


def test_the_readme_shows_the_smallest_session_that_is_in_the_examples() -> None:
    readme = (ROOT / "README.md").read_text()
    shown = yaml.safe_load(readme.split("```yaml\n")[1].split("```")[0])
    assert shown == yaml.safe_load((ROOT / "docs" / "examples" / "hello.yaml").read_text())


def test_every_direct_dependency_has_a_reason() -> None:

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = [
        *project["project"]["dependencies"],
        *(r for extra in project["project"]["optional-dependencies"].values() for r in extra),
        *(
            requirement
            for group in project["dependency-groups"].values()
            for requirement in group
            if isinstance(requirement, str)
        ),
    ]
    names = {re.split(r"[<>=\[]", requirement)[0] for requirement in listed}
    page = (ROOT / "docs" / "dependencies.md").read_text()
    assert {name for name in names if name not in page} == set()


def test_requirements_record_no_download_address() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in path.read_text(), path.name
