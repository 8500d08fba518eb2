"""A package that is unpacked beside those of the machine."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from localcluster import packages


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it goes; apt-get and dpkg-deb are played."""

    def run(command: list[str], directory: Path | None = None, **_: Any) -> None:
        if command[:2] == ["apt-get", "download"]:
            assert directory is not None
            (directory / "a_1_amd64.deb").touch()
        if command[0] == "dpkg-deb":
            Path(command[-1]).mkdir()
            (Path(command[-1]) / "program").touch()

    monkeypatch.setattr(packages, "run", run)
    return tmp_path / "packages" / "a"


def renames_fail(monkeypatch: pytest.MonkeyPatch, *, made: Path | None = None) -> None:
    def rename(self: Path, target: Path) -> None:
        if made is not None:
            made.mkdir()
        raise OSError(errno.ENOTEMPTY if made else errno.EIO, "refused by the test")

    monkeypatch.setattr(Path, "rename", rename)


def test_it_is_unpacked_once(folder: Path, tmp_path: Path) -> None:
    for _ in range(2):
        packages.unpack_package("a", folder, tmp_path / "log")
    assert [path.name for path in folder.iterdir()] == ["program"]
    assert list(folder.parent.iterdir()) == [folder]


def test_another_clone_may_be_faster(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renames_fail(monkeypatch, made=folder)
    packages.unpack_package("a", folder, tmp_path / "log")
    assert folder.is_dir()


def test_a_disk_that_refuses_is_no_other_clone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renames_fail(monkeypatch)
    with pytest.raises(OSError, match="refused"):
        packages.unpack_package("a", folder, tmp_path / "log")
