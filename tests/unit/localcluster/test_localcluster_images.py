"""Image archives and names."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from localcluster.archives import archive_references, normalized_reference, write_program_image
from localcluster.errors import ClusterError


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("redis", "docker.io/library/redis:latest"),
        ("redis:7", "docker.io/library/redis:7"),
        ("agentsession/service:abc", "docker.io/agentsession/service:abc"),
        ("localhost/service:abc", "localhost/service:abc"),
        ("localhost:5000/service", "localhost:5000/service:latest"),
        ("ghcr.io/a/b@sha256:00", "ghcr.io/a/b@sha256:00"),
    ],
)
def test_names_are_those_that_containerd_stores(given: str, stored: str) -> None:
    assert normalized_reference(given) == stored


def test_an_image_of_one_program_is_a_readable_archive(tmp_path: Path) -> None:
    program, archive = tmp_path / "pause", tmp_path / "pause.tar"
    program.write_bytes(b"program")

    write_program_image(program, "localhost/pause:local", archive, "x86_64")

    assert archive_references(archive) == ["localhost/pause:local"]
    with tarfile.open(archive) as tar:
        manifest = json.loads(read(tar, "manifest.json"))
        config = json.loads(read(tar, manifest[0]["Config"]))
        layer = read(tar, manifest[0]["Layers"][0])
    assert config["architecture"] == "amd64"
    assert config["config"]["Entrypoint"] == ["/pause"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert read(tar, "pause") == b"program"
        assert tar.getmember("pause").mode == 0o755


def test_the_same_program_gives_the_same_archive(tmp_path: Path) -> None:
    program = tmp_path / "pause"
    program.write_bytes(b"program")

    archives = [tmp_path / "one.tar", tmp_path / "two.tar"]
    for archive in archives:
        write_program_image(program, "localhost/pause:local", archive, "x86_64")

    assert archives[0].read_bytes() == archives[1].read_bytes()


def test_names_of_an_oci_archive_are_found(tmp_path: Path) -> None:
    archive = tmp_path / "oci.tar"
    index = {
        "manifests": [
            {"annotations": {"org.opencontainers.image.ref.name": "localhost/a:1"}},
            {"digest": "sha256:00"},
        ]
    }
    write_tar(archive, {"index.json": json.dumps(index).encode()})

    assert archive_references(archive) == ["localhost/a:1"]


def test_an_archive_without_a_name_has_none(tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    write_tar(archive, {"manifest.json": b'[{"Config": "c", "RepoTags": null, "Layers": []}]'})

    assert archive_references(archive) == []


@pytest.mark.parametrize("content", [b"not a tar file", None])
def test_a_file_that_is_no_image_archive_is_refused(tmp_path: Path, content: bytes | None) -> None:
    archive = tmp_path / "image.tar"
    if content is None:
        write_tar(archive, {"README": b"hello"})
    else:
        archive.write_bytes(content)

    with pytest.raises(ClusterError) as raised:
        archive_references(archive)

    assert str(archive) in raised.value.cause
    assert raised.value.next_step


def read(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file is not None
    return file.read()


def write_tar(archive: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(archive, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
