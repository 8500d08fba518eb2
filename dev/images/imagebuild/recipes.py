"""Which images there are and what each is built from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from localcluster.errors import ClusterError

HASH_LENGTH = 16
# A hash of digits alone, or with one `e`, is a number to YAML; with the prefix it never is.
TAG_PREFIX = "src-"


@dataclass(frozen=True)
class Recipe:
    """One image: its Dockerfile and, where that has several, the build target."""

    name: str
    dockerfile: str
    target: str | None = None

    @property
    def repository(self) -> str:
        """The image's name without registry and tag."""
        return f"agentsession-{self.name}"

    @property
    def ignore_file(self) -> str:
        """The file beside the Dockerfile that says what the build may see."""
        return f"{self.dockerfile}.dockerignore"


RECIPES = (
    Recipe("service", "images/service.Dockerfile", target="service"),
    Recipe("development", "images/service.Dockerfile", target="development"),
    Recipe("agent", "images/agent.Dockerfile", target="claude-code"),
    Recipe("redis", "images/redis.Dockerfile"),
)


@dataclass(frozen=True)
class InputFile:
    """A file that an image is built from, as far as the result depends on it."""

    path: str
    executable: bool
    content: bytes


def parse_ignore_file(text: str) -> tuple[list[str], list[str]]:
    """Return the paths that a `.dockerignore` lets in, and the names it keeps out everywhere.

    Understands the form used here and no more: `*`, then `!path` and `**/name` lines.

    Raises:
        ValueError: a line has another form, or the first rule is not `*`.
    """
    lines = [line.strip() for line in text.splitlines()]
    rules = [line for line in lines if line and not line.startswith("#")]
    if not rules or rules[0] != "*":
        raise ValueError("the first rule must be `*`: what is let in is named")
    allowed, excluded = [], []
    for rule in rules[1:]:
        if rule.startswith("!"):
            allowed.append(rule[1:])
        elif rule.startswith("**/") and "/" not in rule[3:]:
            excluded.append(rule[3:])
        else:
            raise ValueError(f"`{rule}` is neither `!path` nor `**/name`")
    return allowed, excluded


def input_files(root: Path, recipe: Recipe) -> list[InputFile]:
    """Read every file that an image is built from, in the order of their paths.

    Raises:
        ClusterError: a file is missing, or the ignore file cannot be understood.
    """
    try:
        allowed, excluded = parse_ignore_file((root / recipe.ignore_file).read_text())
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"{recipe.ignore_file}: {error}", next_step="put the file in order"
        ) from error
    paths = {root / recipe.dockerfile, root / recipe.ignore_file}
    for name in allowed:
        if not (root / name).exists():
            raise ClusterError(
                f"image {recipe.name} is built from {name}, which does not exist",
                next_step=f"restore it, or remove it from {recipe.ignore_file}",
            )
        paths.update(_files(root / name, excluded))
    return [_read(root, path) for path in sorted(paths)]


def content_tag(recipe: Recipe, files: Iterable[InputFile], base: str) -> str:
    """Return the image's tag: a hash of everything the image depends on.

    Args:
        base: what identifies the base image's content.
    """
    digest = hashlib.sha256(f"{recipe.name}\n{recipe.target}\n{base}\n".encode())
    for file in files:
        digest.update(f"{file.path} {file.executable} {len(file.content)}\n".encode())
        digest.update(file.content)
    return TAG_PREFIX + digest.hexdigest()[:HASH_LENGTH]


def _files(path: Path, excluded: list[str]) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for child in sorted(path.iterdir()):
        if child.name not in excluded:
            yield from _files(child, excluded)


def _read(root: Path, path: Path) -> InputFile:
    return InputFile(
        path=str(PurePosixPath(path.relative_to(root))),
        executable=bool(path.stat().st_mode & 0o111),
        content=path.read_bytes(),
    )
