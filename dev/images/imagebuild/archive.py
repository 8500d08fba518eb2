"""Image archives with only those layers that the receiver lacks.

An agent image has half a gigabyte, of which a change of the runner touches a few kilobytes. containerd
takes an OCI archive without the layers it already has, so those are left out.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

OCI = "application/vnd.oci.image"
NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
BUFFER_BYTES = 1024 * 1024
LAYER_SUFFIX = ".tar"


def pack(stream: IO[bytes], reference: str, present: Collection[str], archive: Path) -> None:
    """Turn a docker-archive into an OCI archive without the layers that are present.

    Args:
        stream: the docker-archive, read once from front to end.
        reference: the image's name in the new archive.
        present: digests (`sha256:…`) that the receiver has; empty for a complete archive.
        archive: the file to write.

    Raises:
        ValueError: the stream is no docker-archive of one image.
        tarfile.TarError: the stream is cut off or no tar at all.
    """
    sizes: dict[str, int] = {}
    files: dict[str, bytes] = {}
    with tarfile.open(archive, "w") as output:
        for member, content in _members(stream):
            if member.name.endswith(LAYER_SUFFIX):
                digest = f"sha256:{member.name.removesuffix(LAYER_SUFFIX)}"
                sizes[digest] = member.size
                if digest not in present:
                    _add(output, _blob(digest), content, member.size)
            else:
                files[member.name] = content.read()
        config = _config(files)
        for name, data in _descriptions(config, sizes, reference).items():
            _add(output, name, io.BytesIO(data), len(data))


def _members(stream: IO[bytes]) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    with tarfile.open(fileobj=stream, mode="r|", bufsize=BUFFER_BYTES) as tar:
        for member in tar:
            # The rest of the members are for readers of an older format.
            if member.isfile() and "/" not in member.name:
                content = tar.extractfile(member)
                if content is None:
                    raise ValueError(f"{member.name} is no file")
                yield member, content


def _config(files: dict[str, bytes]) -> bytes:
    manifest = json.loads(files.get("manifest.json", b"[]"))
    if len(manifest) != 1:
        raise ValueError(f"the archive holds {len(manifest)} images instead of one")
    return files[manifest[0]["Config"]]


def _descriptions(config: bytes, sizes: dict[str, int], reference: str) -> dict[str, bytes]:
    layers = [
        _descriptor("layer.v1.tar", digest, sizes[digest])
        for digest in json.loads(config)["rootfs"]["diff_ids"]
    ]
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": _descriptor("config.v1+json", _digest(config), len(config)),
            "layers": layers,
        }
    )
    entry = _descriptor("manifest.v1+json", _digest(manifest), len(manifest))
    entry["annotations"] = dict.fromkeys(NAME_ANNOTATIONS, reference)
    return {
        _blob(_digest(config)): config,
        _blob(_digest(manifest)): manifest,
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "manifests": [entry]}),
    }


def _descriptor(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": f"{OCI}.{kind}", "digest": digest, "size": size}


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _add(output: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    output.addfile(member, content)
