"""What is deployed first is tested first, and what needs no deployment runs in the meantime."""

from __future__ import annotations

import re
import shutil

from .conftest import Project

ONE = "def test_{name}_{number}(example_dir, deployment):\n    pass\n"


def test_modules_run_in_the_order_of_their_deploys_and_plain_tests_come_first(project: Project) -> None:
    for name, tests in {"alpha": 1, "beta": 3, "gamma": 2}.items():
        shutil.copytree(project.path / "terraform/thing", project.path / "terraform" / name)
        project.write(f"test_{name}.py", "".join(ONE.format(name=name, number=number) for number in range(tests)))
    project.write("test_plain.py", "def test_plain():\n    pass\n")

    ran = project.pytest("--setup-plan", "-q")

    assert ran.returncode == 0, ran.stdout
    order = list(dict.fromkeys(re.findall(r"test_(\w+?)\.py::", ran.stdout)))
    assert order == ["plain", "beta", "gamma", "alpha"]


def test_the_order_within_a_module_stays(project: Project) -> None:
    shutil.copytree(project.path / "terraform/thing", project.path / "terraform/other")
    project.write("test_other.py", "".join(ONE.format(name="other", number=number) for number in (3, 1, 2)))
    project.write("test_thing.py", ONE.format(name="thing", number=1))

    ran = project.pytest("--setup-plan", "-q")

    assert re.findall(r"test_other_(\d)", ran.stdout) == ["3", "1", "2"]
