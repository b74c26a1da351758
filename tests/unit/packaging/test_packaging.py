"""Packaging: a function's zip, the same bytes every time, or an error that says why not."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import packaging
from harness.errors import PackagingError
from harness.packaging import Package, build_zip, main


@pytest.fixture
def function(tmp_path: Path) -> Path:
    """A function of two files, without requirements."""
    folder = tmp_path / "function"
    (folder / "lib").mkdir(parents=True)
    (folder / "handler.py").write_text("def handler(event, context):\n    return event\n", encoding="utf-8")
    (folder / "lib" / "logic.py").write_text("X = 1\n", encoding="utf-8")
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def names(package: Package) -> list[str]:
    with zipfile.ZipFile(package.path) as archive:
        return archive.namelist()


class TestTheZip:
    def test_holds_the_functions_files(self, function: Path, cache: Path) -> None:
        package = build_zip(function, cache_dir=cache)
        assert names(package) == ["handler.py", "lib/logic.py"]

    def test_is_described_as_lambda_describes_it(self, function: Path, cache: Path) -> None:
        package = build_zip(function, cache_dir=cache)
        content = package.path.read_bytes()
        assert package.size == len(content)
        assert package.sha256_base64 == base64.b64encode(hashlib.sha256(content).digest()).decode()
        assert package.path.is_absolute()

    def test_is_the_same_wherever_and_whenever_it_is_built(self, function: Path, tmp_path: Path) -> None:
        first = build_zip(function, cache_dir=tmp_path / "one")
        copy = tmp_path / "elsewhere"
        (copy / "lib").mkdir(parents=True)
        for name in ("lib/logic.py", "handler.py"):
            (copy / name).write_bytes((function / name).read_bytes())
            os.utime(copy / name, (1, 1))
            (copy / name).chmod(0o755)
        second = build_zip(copy, cache_dir=tmp_path / "two")
        assert first.path.read_bytes() == second.path.read_bytes()

    def test_can_be_read_by_lambdas_user(self, function: Path, cache: Path) -> None:
        (function / "handler.py").chmod(0o600)
        with zipfile.ZipFile(build_zip(function, cache_dir=cache).path) as archive:
            assert {info.external_attr >> 16 for info in archive.infolist()} == {0o100644}
            assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}

    def test_leaves_out_what_tools_leave_behind(self, function: Path, cache: Path) -> None:
        for name in ("__pycache__/handler.cpython-311.pyc", ".git/config", ".mypy_cache/x.json", ".DS_Store", "a.pyc"):
            (function / name).parent.mkdir(exist_ok=True)
            (function / name).write_text("x", encoding="utf-8")
        (function / "requirements.txt").write_text("# nothing\n", encoding="utf-8")
        assert names(build_zip(function, cache_dir=cache)) == ["handler.py", "lib/logic.py"]

    def test_has_the_sdk_in_it_and_no_boto3(self, function: Path, cache: Path) -> None:
        (function / "requirements.txt").write_text("aws-durable-execution-sdk-python>=3,<4\nboto3\n", encoding="utf-8")
        package = build_zip(function, cache_dir=cache)
        tops = {name.split("/")[0].split("-")[0] for name in names(package)}
        assert tops == {"aws_durable_execution_sdk_python", "handler.py", "lib"}
        assert package.size < 300_000

    def test_runs_from_where_it_is_unpacked(self, function: Path, cache: Path, tmp_path: Path) -> None:
        (function / "requirements.txt").write_text("aws-durable-execution-sdk-python\n", encoding="utf-8")
        (function / "handler.py").write_text(
            "import aws_durable_execution_sdk_python as sdk\nprint(sdk.__file__)\n", encoding="utf-8"
        )
        task = tmp_path / "task"
        with zipfile.ZipFile(build_zip(function, cache_dir=cache).path) as archive:
            archive.extractall(task)
        done = subprocess.run(
            [sys.executable, str(task / "handler.py")], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        assert done.stdout.startswith(str(task))

    def test_takes_a_link_within_the_function_as_the_file(self, function: Path, cache: Path) -> None:
        (function / "again.py").symlink_to("lib/logic.py")
        with zipfile.ZipFile(build_zip(function, cache_dir=cache).path) as archive:
            assert archive.read("again.py") == b"X = 1\n"


class TestTheCache:
    def test_gives_back_the_zip_that_it_has(self, function: Path, cache: Path) -> None:
        first = build_zip(function, cache_dir=cache)
        before = first.path.stat().st_mtime_ns, first.path.stat().st_ino
        assert build_zip(function, cache_dir=cache) == first
        assert (first.path.stat().st_mtime_ns, first.path.stat().st_ino) == before

    def test_tells_functions_apart_by_content_and_name(self, function: Path, cache: Path) -> None:
        paths = {build_zip(function, cache_dir=cache).path}
        (function / "lib" / "logic.py").write_text("X = 2\n", encoding="utf-8")
        paths.add(build_zip(function, cache_dir=cache).path)
        (function / "lib" / "logic.py").rename(function / "lib" / "other.py")
        paths.add(build_zip(function, cache_dir=cache).path)
        assert len(paths) == 3

    def test_tells_builders_apart(self, function: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = build_zip(function, cache_dir=cache)
        monkeypatch.setattr(packaging, "BUILDER_VERSION", packaging.BUILDER_VERSION + 1)
        second = build_zip(function, cache_dir=cache)
        assert first.path != second.path

    @pytest.mark.parametrize("damage", [b"", b"not a zip", None])
    def test_replaces_a_damaged_zip(self, function: Path, cache: Path, damage: bytes | None) -> None:
        package = build_zip(function, cache_dir=cache)
        whole = package.path.read_bytes()
        # None: a byte of the compressed data is flipped, so that only the checksum tells.
        flipped = bytes([*whole[:45], whole[45] ^ 0xFF, *whole[46:]])
        package.path.write_bytes(flipped if damage is None else damage)
        assert build_zip(function, cache_dir=cache) == package
        assert package.path.read_bytes() == whole

    def test_is_filled_by_many_at_once_and_keeps_no_leftovers(self, function: Path, cache: Path) -> None:
        with ThreadPoolExecutor(8) as pool:
            packages = list(pool.map(lambda _: build_zip(function, cache_dir=cache), range(24)))
        assert len(set(packages)) == 1
        assert list(cache.iterdir()) == [packages[0].path]

    def test_that_cant_be_written_is_named(self, function: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("", encoding="utf-8")
        with pytest.raises(PackagingError, match="The package cache can't be written") as caught:
            build_zip(function, cache_dir=tmp_path / "file")
        assert caught.value.where == str(tmp_path / "file")


class TestBadInput:
    def test_a_missing_directory(self, tmp_path: Path) -> None:
        with pytest.raises(PackagingError, match="doesn't exist") as caught:
            build_zip(tmp_path / "nowhere")
        assert "folder named function" in str(caught.value)

    def test_a_file_instead_of_a_directory(self, function: Path) -> None:
        with pytest.raises(PackagingError, match="isn't a directory"):
            build_zip(function / "handler.py")

    def test_an_empty_directory(self, tmp_path: Path) -> None:
        (tmp_path / "__pycache__").mkdir()
        with pytest.raises(PackagingError, match="is empty"):
            build_zip(tmp_path, cache_dir=tmp_path / "cache")

    def test_a_link_out_of_the_directory(self, function: Path, cache: Path, tmp_path: Path) -> None:
        secret = tmp_path / "secret.txt"
        secret.write_text("key", encoding="utf-8")
        (function / "config.txt").symlink_to(secret)
        with pytest.raises(PackagingError, match="leads out of the function's directory") as caught:
            build_zip(function, cache_dir=cache)
        assert caught.value.where == str(function / "config.txt")

    def test_a_broken_link(self, function: Path, cache: Path) -> None:
        (function / "config.txt").symlink_to("gone.txt")
        with pytest.raises(PackagingError, match="can't be read: No such file") as caught:
            build_zip(function, cache_dir=cache)
        assert caught.value.where == str(function / "config.txt")

    def test_a_link_to_itself(self, function: Path, cache: Path) -> None:
        (function / "loop").symlink_to("loop")
        with pytest.raises(PackagingError, match="can't be read"):
            build_zip(function, cache_dir=cache)

    def test_a_linked_directory(self, function: Path, cache: Path) -> None:
        (function / "loop").symlink_to(function, target_is_directory=True)
        with pytest.raises(PackagingError, match="A linked directory can't be packaged"):
            build_zip(function, cache_dir=cache)

    def test_a_pipe(self, function: Path, cache: Path) -> None:
        os.mkfifo(function / "pipe")
        with pytest.raises(PackagingError, match="Not a regular file"):
            build_zip(function, cache_dir=cache)

    def test_a_file_that_hides_a_dependency(self, function: Path, cache: Path) -> None:
        (function / "requirements.txt").write_text("aws-durable-execution-sdk-python\n", encoding="utf-8")
        (function / "aws_durable_execution_sdk_python").mkdir()
        (function / "aws_durable_execution_sdk_python" / "__init__.py").write_text("", encoding="utf-8")
        with pytest.raises(PackagingError, match=r"aws_durable_execution_sdk_python/__init__\.py is both"):
            build_zip(function, cache_dir=cache)

    def test_more_than_lambda_takes_zipped(self, function: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packaging, "MAX_ZIPPED_BYTES", 1000)
        (function / "noise.bin").write_bytes(os.urandom(2000))
        with pytest.raises(PackagingError, match="Lambda takes at most 50 MiB in a direct upload"):
            build_zip(function, cache_dir=cache)

    def test_more_than_lambda_takes_unzipped(
        self, function: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(packaging, "MAX_UNZIPPED_BYTES", 1000)
        (function / "zeros.bin").write_bytes(bytes(2000))
        with pytest.raises(PackagingError, match="unzipped, Lambda takes at most 250 MiB"):
            build_zip(function, cache_dir=cache)

    def test_lambdas_limits_are_as_documented(self) -> None:
        assert (packaging.MAX_ZIPPED_BYTES, packaging.MAX_UNZIPPED_BYTES) == (52428800, 262144000)


class TestTheCommand:
    def test_writes_the_zip_and_prints_path_and_hash(
        self, function: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
        target = tmp_path / "out" / "function.zip"
        assert main([str(function), "-o", str(target)]) == 0
        path, digest = capsys.readouterr().out.split()
        assert path == str(target)
        assert digest == base64.b64encode(hashlib.sha256(target.read_bytes()).digest()).decode()
        assert zipfile.is_zipfile(target)

    def test_says_what_is_wrong_and_fails(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([str(tmp_path / "nowhere"), "-o", str(tmp_path / "x.zip")]) == 1
        assert "The function's directory doesn't exist" in capsys.readouterr().err
        assert not (tmp_path / "x.zip").exists()

    def test_says_when_the_zip_cant_be_written(
        self, function: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
        assert main([str(function), "-o", str(function / "handler.py" / "x.zip")]) == 1
        assert "The zip can't be written" in capsys.readouterr().err

    def test_runs_as_a_module(self, function: Path, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "harness.packaging", str(function), "-o", str(tmp_path / "x.zip")],
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "home")},
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(str(tmp_path / "x.zip"))
