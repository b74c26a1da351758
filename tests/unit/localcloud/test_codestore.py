"""Packages are unpacked once, and never outside their folder."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import pytest

from harness.localcloud.api import ApiError
from harness.localcloud.codestore import CodeStore

from .conftest import make_zip


@pytest.fixture
def store(tmp_path: Path) -> CodeStore:
    return CodeStore(tmp_path / "code", limit=1000)


def _with_link(name: str, target: str, **files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        entry = zipfile.ZipInfo(name)
        entry.create_system = 3
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, target)
    return buffer.getvalue()


def test_files_keep_their_places_and_content(store: CodeStore) -> None:
    folder = store.unpack(make_zip({"app.py": "code", "package/data.txt": "data"}))
    assert (folder / "app.py").read_text() == "code"
    assert (folder / "package" / "data.txt").read_text() == "data"


def test_the_same_content_is_unpacked_once(store: CodeStore) -> None:
    content = make_zip({"app.py": "code"})
    first = store.unpack(content)
    inode = (first / "app.py").stat().st_ino
    assert store.unpack(content) == first
    assert (first / "app.py").stat().st_ino == inode
    assert store.unpack(make_zip({"app.py": "other"})) != first


def test_what_is_unpacked_is_read_only_and_programs_stay_executable(store: CodeStore) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", "code")
        program = zipfile.ZipInfo("bin/run")
        program.external_attr = 0o755 << 16
        archive.writestr(program, "#!/bin/sh")
    folder = store.unpack(buffer.getvalue())
    modes = {name: stat.S_IMODE((folder / name).stat().st_mode) for name in (".", "app.py", "bin", "bin/run")}
    assert modes == {".": 0o555, "app.py": 0o444, "bin": 0o555, "bin/run": 0o555}


def test_a_folder_entry_for_the_root_is_harmless(store: CodeStore) -> None:
    assert (store.unpack(make_zip({"./": "", "./app.py": "code"})) / "app.py").read_text() == "code"


@pytest.mark.parametrize("name", ["../out.py", "a/../../out.py", "/etc/out.py", "..\\out.py"])
def test_an_entry_outside_the_package_is_refused(store: CodeStore, tmp_path: Path, name: str) -> None:
    with pytest.raises(ApiError, match=r"InvalidParameterValueException.*outside the package"):
        store.unpack(make_zip({"app.py": "code", name: "evil"}))
    assert not list(tmp_path.rglob("*out.py*"))
    assert not list((tmp_path / "code").iterdir()), "what was half unpacked is gone"


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "folder/../../outside"])
def test_a_link_that_leaves_the_package_is_refused(store: CodeStore, target: str) -> None:
    with pytest.raises(ApiError, match="link that leaves the package"):
        store.unpack(_with_link("link", target, **{"folder/file": "x"}))


def test_a_link_inside_the_package_works(store: CodeStore) -> None:
    folder = store.unpack(_with_link("link.py", "folder/file", **{"folder/file": "linked"}))
    assert (folder / "link.py").read_text() == "linked"


def test_a_file_is_never_written_through_a_link(store: CodeStore, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("folder")
        entry.create_system = 3
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, str(tmp_path))
        archive.writestr("folder/evil.py", "x")
    with pytest.raises(ApiError, match="InvalidParameterValueException"):
        store.unpack(buffer.getvalue())
    assert not (tmp_path / "evil.py").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"this is no zip", "Could not unzip uploaded file"),
        (make_zip({"app.py": "code"})[:-10], "Could not unzip uploaded file"),
        (make_zip({}), "non-empty zip"),
        (make_zip({"app.py": "x" * 1001}), "Unzipped size must be smaller than 1000 bytes"),
    ],
)
def test_a_bad_zip_is_refused_as_lambda_refuses_it(store: CodeStore, content: bytes, message: str) -> None:
    with pytest.raises(ApiError, match=message) as caught:
        store.unpack(content)
    assert (caught.value.code, caught.value.status) == ("InvalidParameterValueException", 400)
