"""`make test` beyond the unit tests: everything that needs servers, then everything in pods."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from localcluster.build import build_missing, kwok_target
from localcluster.console import Reporter as BuildReporter
from localcluster.errors import ClusterError
from localcluster.images import ImageStore
from localcluster.packages import install_packages, unpack_package
from localcluster.settings import load_settings as load_cluster_settings
from workbench.clusters import Cluster
from workbench.console import Reporter, WorkbenchError
from workbench.images import read_images
from workbench.install import install_release, uninstall_release
from workbench.settings import ClusterKind, Settings
from workbench.suites import run_suites

# Short enough for a test to wait for, long enough not to race with the test itself.
# The model that Claude Code asks for by itself; any price will do.
MODEL = "claude-opus-5-5"
COPY_SECONDS = 86_400
# The people of tests/e2e/test_telegram.py, and the groups of tests/e2e/test_telegram_groups.py.
ADA, BOB = 71, 72
FORUM, TEAM = -1001234567890, -1001234567891
OPERATOR_VALUES = {
    "backoffBaseSeconds": 1,
    "backoffLimitSeconds": 5,
    "sweepSeconds": 5,
    "helloTimeoutSeconds": 20,
}


def run_tests(
    settings: Settings, cluster: Cluster, arguments: Sequence[str], reporter: Reporter
) -> None:
    """Installs a release for the tests, runs them, and removes it if they passed."""
    # Tests never speak to a real model or to Telegram, whatever is in the environment.
    settings = replace(settings, model_key="", telegram_token="")
    names = settings.test_names()
    with reporter.step(f"install test release {names.release}"):
        install_release(settings, cluster, names, reporter, _test_values())
    environment = {
        **cluster.environment(),
        **agent_cli(settings, reporter),
        **_second_agent_image(settings),
        **_control_plane(settings, reporter),
        **_promtool(settings, reporter),
        **_browser(settings, reporter),
        "AGENTSESSION_TEST_NAMES": json.dumps(
            {
                "release": names.release,
                "namespace": names.namespace,
                "sessions_namespace": names.sessions_namespace,
            }
        ),
    }
    _programs(settings, reporter)
    try:
        run_suites(arguments, environment, settings.clone / ".build" / "integration.log", reporter)
    except WorkbenchError:
        reporter.note(f"the release stays: kubectl -n {names.namespace} get pods")
        raise
    with reporter.step("remove the test release"):
        cluster.kubectl(
            "delete", "agentsessions", "--all", "-n", names.sessions_namespace, "--timeout=60s"
        )
        uninstall_release(cluster, names)
        cluster.kubectl(
            "delete", "namespace", names.sessions_namespace, names.namespace, "--wait=false"
        )


def _programs(settings: Settings, reporter: Reporter) -> None:
    """Debian's PostgreSQL, for tests that start one of their own, and jq, for the commands of docs."""
    postgresql = list(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or shutil.which("initdb")
    for package, found in (("postgresql", postgresql), ("jq", shutil.which("jq"))):
        if found:
            continue
        with reporter.step(f"install {package}"):
            try:
                install_packages([package], settings.clone / ".build" / f"{package}.log")
            except ClusterError as error:
                raise WorkbenchError(str(error), f"apt-get install {package}") from error


def agent_cli(settings: Settings, reporter: Reporter) -> dict[str, str]:
    """CLAUDE_BINARY: the CLI that is in the agent image, for tests that drive it directly."""
    if settings.cluster is not ClusterKind.LOCAL:
        reporter.note("CLAUDE_BINARY is taken from the local cluster's image only; set it yourself")
        return {}
    image = read_images(settings.clone)["agent"]
    cluster_settings = load_cluster_settings(os.environ, settings.clone)
    # Not in the clone: that may lie where only root may read, and the CLI runs as another user.
    binary = cluster_settings.paths.cache / "agent-cli" / image["tag"] / "claude"
    if not binary.exists():
        with reporter.step("copy claude out of the agent image"):
            _forget_old_copies(binary.parent.parent, time.time())
            binary.parent.mkdir(parents=True)
            reference = f"{image['repository']}:{image['tag']}"
            ImageStore(cluster_settings).extract(reference, "/usr/local/bin/claude", binary)
    return {"CLAUDE_BINARY": str(binary)}


def _control_plane(settings: Settings, reporter: Reporter) -> dict[str, str]:
    """LOCALKUBE_BINARY: etcd and the API server, for tests that need a pair of their own.

    kwok is built here where it is missing: a test of load would be over its time with that.
    """
    if settings.cluster is not ClusterKind.LOCAL:
        return {}
    cluster_settings = load_cluster_settings(os.environ, settings.clone)
    with reporter.step("build kwok, unless it is there"):
        try:
            build_missing(
                cluster_settings.paths, BuildReporter(Console(stderr=True)), [kwok_target()]
            )
        except ClusterError as error:
            raise WorkbenchError(error.cause, error.next_step) from error
    return control_plane_program(settings)


def control_plane_program(settings: Settings) -> dict[str, str]:
    """LOCALKUBE_BINARY of the local cluster that is there; nothing of another."""
    if settings.cluster is not ClusterKind.LOCAL:
        return {}
    paths = load_cluster_settings(os.environ, settings.clone).paths
    return {"LOCALKUBE_BINARY": str((paths.bin / "kubectl").resolve())}


def _browser(settings: Settings, reporter: Reporter) -> dict[str, str]:
    """CHROMIUM_BINARY: Debian's browser, for tests of the chat page; 125 MB where it is not there yet."""
    found = shutil.which("chromium")
    if found is None and settings.cluster is ClusterKind.LOCAL:
        log = load_cluster_settings(os.environ, settings.clone).paths.cache / "log" / "chromium.log"
        with reporter.step("install Debian's chromium"):
            try:
                install_packages(["chromium", "fonts-dejavu-core"], log)
            except ClusterError as error:
                raise WorkbenchError(error.cause, f"{error.next_step}; see {log}") from error
        found = shutil.which("chromium")
    if found is None:
        reporter.note("CHROMIUM_BINARY is set by you: tests in a browser are skipped without it")
    return {"CHROMIUM_BINARY": found} if found else {}


def _promtool(settings: Settings, reporter: Reporter) -> dict[str, str]:
    """PROMTOOL: Prometheus' tool for rules, out of Debian's package, of which nothing is installed."""
    found = shutil.which("promtool")
    if found is None and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        cache = load_cluster_settings(os.environ, settings.clone).paths.cache
        with reporter.step("fetch Debian's promtool, unless it is there"):
            try:
                unpack_package("prometheus", cache / "prometheus", cache / "log" / "promtool.log")
            except ClusterError as error:
                raise WorkbenchError(error.cause, error.next_step) from error
        found = str(cache / "prometheus" / "usr" / "bin" / "promtool")
    if found is None:
        reporter.note("PROMTOOL is set by you: the alerts are not tested without it")
    return {"PROMTOOL": found} if found else {}


def _forget_old_copies(folder: Path, now: float) -> None:
    """A copy is large; one of today may be in use by another clone's tests."""
    for copy in folder.glob("*"):
        if now - copy.stat().st_mtime > COPY_SECONDS:
            shutil.rmtree(copy)


def _second_agent_image(settings: Settings) -> dict[str, str]:
    """AGENTSESSION_SECOND_AGENT_TAG: another name of the agent image, for tests of upgrades."""
    if settings.cluster is not ClusterKind.LOCAL:
        return {}
    image = read_images(settings.clone)["agent"]
    tag = f"{image['tag']}-again"
    store = ImageStore(load_cluster_settings(os.environ, settings.clone))
    store.tag(f"{image['repository']}:{image['tag']}", f"{image['repository']}:{tag}")
    return {"AGENTSESSION_SECOND_AGENT_TAG": tag}


def _test_values() -> dict[str, object]:
    price = {"input": "5", "output": "25", "cacheRead": "0.5", "cacheWrite": "6.25"}
    return {
        "modelServer": {"enabled": True},
        "operator": {"settings": OPERATOR_VALUES},
        "rollout": {"maxAtOnce": 1},
        "gateway": {"models": {"prices": {MODEL: price}}},
        "telegramServer": {"enabled": True},
        "bridge": {"allowedUsers": [ADA, BOB], "allowedGroups": [FORUM, TEAM]},
    }
