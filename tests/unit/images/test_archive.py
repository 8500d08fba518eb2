from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from imagebuild.archive import pack

LAYERS = (b"first layer", b"second layer")
REFERENCE = "localhost/agentsession-thing:src-1"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def hexadecimal(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


CONFIG = json.dumps(
    {"rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in LAYERS]}}
).encode()


def tar_of(members: dict[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("0123/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "../layer"
        tar.addfile(link)
    buffer.seek(0)
    return buffer


def docker_archive(images: int = 1) -> io.BytesIO:
    members = {f"{hexadecimal(layer)}.tar": layer for layer in LAYERS}
    members[f"{hexadecimal(CONFIG)}.json"] = CONFIG
    image = {"Config": f"{hexadecimal(CONFIG)}.json", "RepoTags": [REFERENCE], "Layers": []}
    members["manifest.json"] = json.dumps([image] * images).encode()
    members["repositories"] = b"{}"
    members["0123/json"] = b"{}"
    return tar_of(members)


def read(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        contents = {name: tar.extractfile(name) for name in tar.getnames()}
        return {name: file.read() for name, file in contents.items() if file is not None}


def test_a_complete_archive_describes_every_blob(tmp_path: Path) -> None:
    pack(docker_archive(), REFERENCE, (), tmp_path / "image.tar")
    files = read(tmp_path / "image.tar")
    blobs = {name: content for name, content in files.items() if name.startswith("blobs/")}
    assert all(name == f"blobs/sha256/{hexadecimal(content)}" for name, content in blobs.items())

    (entry,) = json.loads(files["index.json"])["manifests"]
    assert set(entry["annotations"].values()) == {REFERENCE}
    manifest = json.loads(blobs[f"blobs/{entry['digest'].replace(':', '/')}"])
    assert manifest["config"]["digest"] == digest(CONFIG)
    assert [layer["digest"] for layer in manifest["layers"]] == [digest(x) for x in LAYERS]
    assert [layer["size"] for layer in manifest["layers"]] == [len(x) for x in LAYERS]
    assert len(blobs) == len(LAYERS) + 2


def test_layers_that_are_present_are_left_out_but_described(tmp_path: Path) -> None:
    pack(docker_archive(), REFERENCE, (), tmp_path / "whole.tar")
    pack(docker_archive(), REFERENCE, {digest(LAYERS[0])}, tmp_path / "part.tar")
    whole, part = read(tmp_path / "whole.tar"), read(tmp_path / "part.tar")
    assert set(whole) - set(part) == {f"blobs/sha256/{hexadecimal(LAYERS[0])}"}
    assert part["index.json"] == whole["index.json"]


@pytest.mark.parametrize("images", [0, 2])
def test_an_archive_of_one_image_is_wanted(images: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"holds {images} images"):
        pack(docker_archive(images), REFERENCE, (), tmp_path / "image.tar")


def test_a_cut_off_stream_is_an_error(tmp_path: Path) -> None:
    content = docker_archive().getvalue()
    with pytest.raises((ValueError, tarfile.TarError)):
        pack(io.BytesIO(content[:700]), REFERENCE, (), tmp_path / "image.tar")


def test_an_empty_stream_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(tarfile.TarError):
        pack(io.BytesIO(b""), REFERENCE, (), tmp_path / "image.tar")
