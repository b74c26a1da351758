"""Dependencies: what a function's requirements bring into its zip, and what they can't."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.dependencies import dependency_files, read_requirements
from harness.errors import PackagingError

PURE = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


class Environment:
    """A site-packages folder of invented distributions, and a requirements file to go with it."""

    def __init__(self, folder: Path) -> None:
        self.site = folder / "site-packages"
        self.site.mkdir()
        self.requirements = folder / "requirements.txt"

    def install(
        self,
        name: str,
        version: str = "1.0",
        *,
        requires: tuple[str, ...] = (),
        extras: tuple[str, ...] = (),
        files: dict[str, str] | None = None,
        wheel: str = PURE,
        direct_url: str | None = None,
        record: bool = True,
    ) -> None:
        """Write a distribution as pip does."""
        info = f"{name}-{version}.dist-info"
        metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
        metadata += [f"Provides-Extra: {extra}" for extra in extras]
        metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
        contents = {
            f"{name}/__init__.py": f"NAME = '{name}'\n",
            **(files or {}),
            f"{info}/METADATA": "\n".join(metadata) + "\n",
            f"{info}/WHEEL": wheel,
            f"{info}/INSTALLER": "pip\n",
        }
        if direct_url:
            contents[f"{info}/direct_url.json"] = direct_url
        if record:
            contents[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*contents, f"{info}/RECORD"])
        for path, text in contents.items():
            target = self.site / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")

    def require(self, *lines: str) -> dict[str, bytes]:
        """The files that these requirements bring."""
        self.requirements.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return dependency_files(self.requirements, search_path=[str(self.site)])

    def packages(self, *lines: str) -> set[str]:
        """The top-level packages that these requirements bring."""
        return {path.split("/")[0] for path in self.require(*lines) if ".dist-info" not in path}


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path)


class TestWhatIsPackaged:
    def test_nothing_without_a_requirements_file(self, tmp_path: Path) -> None:
        assert dependency_files(tmp_path / "requirements.txt") == {}

    def test_a_distributions_files_without_what_its_installer_wrote(self, environment: Environment) -> None:
        environment.install("alpha", files={"alpha/data.txt": "x", "alpha/__pycache__/a.cpython-311.pyc": ""})
        assert environment.require("alpha") == {
            "alpha/__init__.py": b"NAME = 'alpha'\n",
            "alpha/data.txt": b"x",
            "alpha-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: alpha\nVersion: 1.0\n",
            "alpha-1.0.dist-info/WHEEL": PURE.encode(),
        }

    def test_no_scripts(self, environment: Environment) -> None:
        environment.install("alpha", files={"../bin/alpha": "#!/usr/bin/python"})
        assert all("bin/alpha" not in path for path in environment.require("alpha"))

    def test_what_it_needs_in_turn(self, environment: Environment) -> None:
        environment.install("alpha", requires=("beta>=1",))
        environment.install("beta", requires=("gamma", "alpha"))
        environment.install("gamma")
        environment.install("unrelated")
        assert environment.packages("alpha") == {"alpha", "beta", "gamma"}

    def test_what_an_extra_needs(self, environment: Environment) -> None:
        environment.install("alpha", requires=('beta; extra == "fast"',), extras=("fast",))
        environment.install("beta")
        assert environment.packages("alpha") == {"alpha"}
        assert environment.packages("alpha", "alpha[fast]") == {"alpha", "beta"}

    @pytest.mark.parametrize(
        ("marker", "packaged"),
        [
            ("sys_platform == 'win32'", False),
            ("python_version == '3.13'", True),
            ("python_version < '3'", False),
            ("platform_machine == 'x86_64'", True),
        ],
    )
    def test_what_lambda_needs(self, environment: Environment, marker: str, packaged: bool) -> None:
        environment.install("alpha", requires=(f"beta; {marker}",))
        environment.install("beta")
        assert ("beta" in environment.packages("alpha")) is packaged

    def test_not_what_the_runtime_has(self, environment: Environment) -> None:
        environment.install("alpha", requires=("boto3>=1.40", "urllib3", "Python_DateUtil"))
        assert environment.packages("alpha", "boto3", "botocore==1.0") == {"alpha"}

    def test_names_in_any_spelling(self, environment: Environment) -> None:
        environment.install("Some_Name")
        assert environment.packages("some-name") == {"Some_Name"}

    def test_the_sdk_as_it_is_installed_here(self, tmp_path: Path) -> None:
        requirements = tmp_path / "requirements.txt"
        requirements.write_text("aws-durable-execution-sdk-python>=3.0.0,<4\n", encoding="utf-8")
        packages = {path.split("/")[0] for path in dependency_files(requirements) if ".dist-info" not in path}
        assert packages == {"aws_durable_execution_sdk_python"}


class TestCompiledCode:
    WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {}\n"

    @pytest.mark.parametrize(
        "tag",
        [
            "cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64",
            "cp313-cp313-manylinux_2_34_x86_64",
            "cp39-abi3-manylinux_2_28_x86_64",
            "py3-none-manylinux2014_x86_64",
        ],
    )
    def test_for_lambda_passes(self, environment: Environment, tag: str) -> None:
        environment.install("fast", files={"fast/core.so": ""}, wheel=self.WHEEL.format(tag))
        assert "fast/core.so" in environment.require("fast")

    @pytest.mark.parametrize(
        "tag",
        [
            "cp311-cp311-manylinux_2_17_x86_64",
            "cp313-cp313-manylinux_2_39_x86_64",
            "cp313-cp313-manylinux_2_17_aarch64",
            "cp313-cp313-macosx_11_0_arm64",
            "cp313-cp313-musllinux_1_2_x86_64",
        ],
    )
    def test_for_another_platform_is_refused(self, environment: Environment, tag: str) -> None:
        environment.install("fast", wheel=self.WHEEL.format(tag))
        with pytest.raises(PackagingError, match=r"fast 1\.0 has compiled code for") as caught:
            environment.require("fast")
        assert tag.split("-")[2] in str(caught.value)
        assert "layer" in str(caught.value)

    def test_in_a_wheel_that_calls_itself_pure_is_refused(self, environment: Environment) -> None:
        environment.install("fast", files={"fast/core.cpython-311-x86_64-linux-gnu.so": ""})
        with pytest.raises(PackagingError, match="compiled code for an unknown platform"):
            environment.require("fast")

    def test_is_not_assumed_where_there_is_none(self, environment: Environment) -> None:
        environment.install("data", wheel=self.WHEEL.format("py3-none-any"))
        assert environment.packages("data") == {"data"}


class TestWhatCantBePackaged:
    def refused(self, environment: Environment, *lines: str) -> str:
        with pytest.raises(PackagingError) as caught:
            environment.require(*lines)
        return str(caught.value)

    def test_a_distribution_that_isnt_installed(self, environment: Environment) -> None:
        message = self.refused(environment, "missing>=1")
        assert "missing isn't installed" in message
        assert f"pip install -r {environment.requirements}" in message

    def test_another_version(self, environment: Environment) -> None:
        environment.install("alpha", "1.0")
        message = self.refused(environment, "alpha>=2,<3")
        assert "alpha 1.0 is installed, <3,>=2 is required" in message
        assert "pip install -r" in message

    def test_another_version_of_what_is_needed_in_turn(self, environment: Environment) -> None:
        environment.install("alpha", requires=("beta<1",))
        environment.install("beta", "1.0")
        message = self.refused(environment, "alpha")
        assert "beta 1.0 is installed, <1 is required" in message
        assert "required by alpha" in message

    def test_an_editable_installation(self, environment: Environment) -> None:
        environment.install("alpha", direct_url='{"url": "file:///src", "dir_info": {"editable": true}}')
        assert "editable mode" in self.refused(environment, "alpha")

    def test_a_distribution_without_a_list_of_its_files(self, environment: Environment) -> None:
        environment.install("alpha", record=False)
        assert "no list of its files" in self.refused(environment, "alpha")

    def test_a_distribution_whose_file_is_gone(self, environment: Environment) -> None:
        environment.install("alpha")
        (environment.site / "alpha" / "__init__.py").unlink()
        message = self.refused(environment, "alpha")
        assert "alpha/__init__.py of alpha can't be read" in message
        assert "pip install --force-reinstall alpha" in message

    def test_two_distributions_with_the_same_file(self, environment: Environment, tmp_path: Path) -> None:
        (tmp_path / "user").mkdir()
        elsewhere = Environment(tmp_path / "user")
        environment.install("alpha", files={"shared.py": "1"})
        elsewhere.install("beta", files={"shared.py": "2"})
        environment.requirements.write_text("alpha\nbeta\n", encoding="utf-8")
        with pytest.raises(PackagingError, match=r"beta and alpha both have a file shared\.py"):
            dependency_files(environment.requirements, search_path=[str(environment.site), str(elsewhere.site)])

    @pytest.mark.parametrize("line", ["-r other.txt", "--index-url https://example.org", "-e .", "--hash=sha256:0"])
    def test_pips_options(self, environment: Environment, line: str) -> None:
        message = self.refused(environment, "# first", line)
        assert "can't be used in a function's requirements" in message
        assert f"{environment.requirements}:2" in message

    def test_a_line_that_is_no_requirement(self, environment: Environment) -> None:
        assert "'alpha >>> 1' isn't a requirement" in self.refused(environment, "alpha >>> 1")

    def test_a_url(self, environment: Environment) -> None:
        message = self.refused(environment, "alpha @ https://example.org/alpha.whl#sha256=1")
        assert "alpha is required from a URL" in message

    def test_a_file_that_isnt_text(self, environment: Environment) -> None:
        environment.requirements.write_bytes(b"\xff\xfe")
        with pytest.raises(PackagingError, match="The requirements can't be read"):
            read_requirements(environment.requirements)


def test_comments_blanks_and_continuations_are_read_as_pip_does(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# all\n\nalpha>=1 # why\nbeta \\\n  <2\n", encoding="utf-8")
    found: list[Any] = read_requirements(requirements)
    assert [str(requirement) for requirement in found] == ["alpha>=1", "beta<2"]
