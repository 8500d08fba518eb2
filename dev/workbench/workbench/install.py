"""Installing the chart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from workbench.clusters import Cluster
from workbench.console import Reporter, WorkbenchError
from workbench.images import read_images
from workbench.settings import Names, Settings

SCHEMA_VERSION = "agentsession.dev/schema-version"
MODEL_SECRET = "agentsession-model"  # noqa: S105 - a Secret's name
TELEGRAM_SECRET = "agentsession-telegram"  # noqa: S105 - a Secret's name
TELEGRAM_SECRET_KEY = "telegram-token"  # noqa: S105 - a key's name
# Whom the page offers; the first is the user of the demo's session.
PEOPLE = ((42, "You"), (43, "A friend"))
# Who writes in make bench; the page does not offer them.
BENCH_PERSON = 4099
MODEL_SECRET_KEY = "anthropic-api-key"  # noqa: S105 - a key's name


def install_crds(cluster: Cluster, directory: Path, reporter: Reporter) -> None:
    """Applies each CRD unless the cluster has a newer one, and waits until it is served."""
    for path in sorted(directory.glob("*.yaml")):
        definition = yaml.safe_load(path.read_text())
        name = definition["metadata"]["name"]
        ours = int(definition["metadata"]["annotations"][SCHEMA_VERSION])
        theirs = _installed_version(cluster, name)
        if theirs > ours:
            reporter.note(
                f"{name}: the cluster has version {theirs}, newer than {ours}; left alone"
            )
            continue
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(path))
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=60s")


def _installed_version(cluster: Cluster, name: str) -> int:
    found = cluster.kubectl("get", "crd", name, "--ignore-not-found", "-o", "json")
    if not found.strip():
        return 0
    annotations = json.loads(found)["metadata"].get("annotations", {})
    return int(annotations.get(SCHEMA_VERSION, 0))


def install_release(
    settings: Settings,
    cluster: Cluster,
    names: Names,
    reporter: Reporter,
    extra: dict[str, Any] | None = None,
) -> None:
    """`helm upgrade --install` with the images that were built here."""
    install_crds(cluster, settings.clone / "crds", reporter)
    for namespace in (names.namespace, names.sessions_namespace):
        _wait_while_terminating(cluster, namespace)
    _ensure_namespace(cluster, names.namespace)
    if settings.model_key:
        _put_secret(cluster, names, MODEL_SECRET, {MODEL_SECRET_KEY: settings.model_key})
    if settings.telegram_token:
        _put_secret(cluster, names, TELEGRAM_SECRET, {TELEGRAM_SECRET_KEY: settings.telegram_token})
    values = {**_values(settings, names), **cluster.chart_values()}
    values.update(extra or {})
    target = settings.clone / ".build" / f"values-{names.release}.yaml"
    target.write_text(yaml.safe_dump(values))
    with _explained(cluster, names):
        cluster.helm(
            "upgrade",
            "--install",
            names.release,
            str(settings.clone / "charts" / "agentsession"),
            "--namespace",
            names.namespace,
            "--skip-crds",
            "--values",
            str(target),
            "--wait",
            "--timeout",
            "180s",
        )


def uninstall_release(cluster: Cluster, names: Names) -> None:
    """Removes the release; sessions and their volumes stay."""
    cluster.helm(
        "uninstall", names.release, "--namespace", names.namespace, "--ignore-not-found", "--wait"
    )


def _wait_while_terminating(cluster: Cluster, namespace: str) -> None:
    """Nothing can be made in a namespace that is being deleted, such as the last test's."""
    phase = cluster.kubectl(
        "get", "namespace", namespace, "--ignore-not-found", "-o", "jsonpath={.status.phase}"
    )
    if phase == "Terminating":
        cluster.kubectl("wait", "--for=delete", f"namespace/{namespace}", "--timeout=180s")


def _ensure_namespace(cluster: Cluster, name: str) -> None:
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))


def _put_secret(cluster: Cluster, names: Names, name: str, content: dict[str, str]) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": names.namespace},
        "stringData": content,
    }
    # Server-side: a client-side apply would repeat the content in an annotation.
    cluster.kubectl(
        *("apply", "--server-side", "--force-conflicts", "-f", "-"), stdin=json.dumps(manifest)
    )


def _values(settings: Settings, names: Names) -> dict[str, Any]:
    values: dict[str, Any] = {
        "images": {
            name: {"repository": image["repository"], "tag": image["tag"]}
            for name, image in read_images(settings.clone).items()
        },
        "sessions": {"namespaces": [names.sessions_namespace], "createNamespaces": True},
    }
    if settings.model_key:
        values["gateway"] = {"models": {"anthropic": {"existingSecret": MODEL_SECRET}}}
    else:
        values["modelServer"] = {"enabled": True}
    return {**values, **telegram_values(settings)}


def telegram_values(settings: Settings) -> dict[str, Any]:
    """Values for Telegram itself where there is a bot's token, else for the stand-in with its page."""
    if settings.telegram_token:
        return {
            "bridge": {
                "telegram": {"existingSecret": TELEGRAM_SECRET},
                "allowedUsers": list(settings.telegram_users),
            }
        }
    return {
        "telegramServer": {
            "enabled": True,
            "people": [{"id": number, "name": name} for number, name in PEOPLE],
        },
        "bridge": {
            "allowedUsers": [*(number for number, _ in PEOPLE), BENCH_PERSON],
            # Tests and figures write more than any person.
            "limits": {"messagesPerHour": 0},
        },
    }


def _logs_of_unready(cluster: Cluster, names: Names) -> list[str]:
    """The last words of every container that is not ready."""
    pods = json.loads(cluster.kubectl("get", "pods", "-n", names.namespace, "-o", "json"))["items"]
    unready = [
        pod["metadata"]["name"]
        for pod in pods
        if not all(c["ready"] for c in pod["status"].get("containerStatuses", [{"ready": False}]))
    ]
    words = []
    for name in unready:
        for which in ((), ("--previous",)):
            try:
                log = cluster.kubectl("logs", name, "-n", names.namespace, "--tail=15", *which)
            except WorkbenchError:
                continue
            words += ["", f"$ kubectl logs {name} {' '.join(which)}".rstrip(), log]
    return words


@contextmanager
def _explained(cluster: Cluster, names: Names) -> Iterator[None]:
    """Adds to a failed installation what its pods say."""
    try:
        yield
    except WorkbenchError as error:
        pods = cluster.kubectl("get", "pods", "-n", names.namespace, "-o", "wide")
        events = cluster.kubectl(
            "get", "events", "-n", names.namespace, "--sort-by=.lastTimestamp"
        ).splitlines()[-15:]
        logs = _logs_of_unready(cluster, names)
        detail = "\n".join([error.detail, "", pods, *events, *logs])
        raise WorkbenchError(
            error.cause, f"look at its pods: kubectl -n {names.namespace} describe pods", detail
        ) from error
