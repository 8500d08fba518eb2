"""Image archives: reading their names, and making one of a single static program."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

from localcluster.errors import ClusterError

DEFAULT_REGISTRY = "docker.io"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
EPOCH = "1970-01-01T00:00:00Z"
OCI_NAME_KEYS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


def normalized_reference(reference: str) -> str:
    """Return an image reference as containerd stores it: with registry and tag."""
    first, slash, _ = reference.partition("/")
    if not slash:
        reference = f"{DEFAULT_REGISTRY}/library/{reference}"
    elif "." not in first and ":" not in first and first != "localhost":
        reference = f"{DEFAULT_REGISTRY}/{reference}"
    last = reference.rpartition("/")[2]
    return reference if ":" in last or "@" in last else f"{reference}:latest"


def archive_references(archive: Path) -> list[str]:
    """Return the normalized references that an archive gives its images; may be empty.

    Raises:
        ClusterError: the file is no image archive (docker-archive or oci-archive).
    """
    try:
        with tarfile.open(archive) as tar:
            names = set(tar.getnames())
            if "manifest.json" in names:
                references = _docker_references(tar)
            elif "index.json" in names:
                references = _oci_references(tar)
            else:
                raise ClusterError(
                    f"{archive} is a tar file without manifest.json or index.json",
                    next_step="write it with `buildah push IMAGE docker-archive:FILE:IMAGE` "
                    "or `docker save`",
                )
    except (OSError, tarfile.TarError, ValueError) as error:
        raise ClusterError(
            f"{archive} cannot be read as an image archive: {error}",
            next_step="build the image again",
        ) from error
    return [normalized_reference(reference) for reference in references]


def write_program_image(program: Path, reference: str, archive: Path, machine: str) -> None:
    """Write a docker-archive of an image that holds one static program and nothing else.

    Args:
        machine: the machine type as `platform.machine()` names it.
    """
    layer = _tar({program.name: (program.read_bytes(), 0o755)})
    config = {
        "architecture": ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "created": EPOCH,
        "config": {"Entrypoint": [f"/{program.name}"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created": EPOCH, "created_by": "agentsession local cluster"}],
    }
    content = json.dumps(config).encode()
    name = f"{hashlib.sha256(content).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [reference], "Layers": ["layer.tar"]}]
    members = {
        "manifest.json": (json.dumps(manifest).encode(), 0o644),
        name: (content, 0o644),
        "layer.tar": (layer, 0o644),
    }
    archive.write_bytes(_tar(members))


def _docker_references(tar: tarfile.TarFile) -> list[str]:
    manifest = json.loads(_member(tar, "manifest.json"))
    return [tag for image in manifest for tag in image.get("RepoTags") or []]


def _oci_references(tar: tarfile.TarFile) -> list[str]:
    references = []
    for manifest in json.loads(_member(tar, "index.json")).get("manifests", []):
        annotations = manifest.get("annotations") or {}
        name = next((annotations[key] for key in OCI_NAME_KEYS if key in annotations), None)
        if name is not None:
            references.append(name)
    return references


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is no file")
    return file.read()


def _tar(members: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, (content, mode) in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
