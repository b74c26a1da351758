"""Five deployments of one root at once, from an empty cache, with the real Terraform: none meets another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.infra import Deployment, Infra
from harness.ledger import Ledger
from harness.localcloud.handle import LocalCloud
from harness.targets import local_target
from harness.terraform.state import read_state
from harness.workspace import state_path
from tests.unit.infra.test_real_terraform import WORKING, contents, root_with

FIVE = 5


def test_five_at_once(tmp_path: Path, home: Path) -> None:
    root = root_with(tmp_path, WORKING)
    with LocalCloud.start(time_scale=60.0) as cloud, ThreadPoolExecutor(FIVE) as pool:
        infra = Infra(local_target(cloud), home=home, cache=tmp_path / "cache")

        deployments: list[Deployment] = list(pool.map(lambda _: infra.deploy(root), range(FIVE)))

        suffixes = {made.workspace.suffix for made in deployments}
        assert len(suffixes) == FIVE
        assert sorted(cloud.inventory()["log_groups"]) == sorted(f"/first/{suffix}" for suffix in suffixes)
        for made in deployments:
            # Each has its own name in its own state, and in no other.
            assert made.outputs["group"] == f"/first/{made.workspace.suffix}"
            state = read_state(state_path(made.workspace))
            assert state.names("aws_cloudwatch_log_group", "name") == (f"/first/{made.workspace.suffix}",)
            assert [path.parent.name for path in made.workspace.directory.rglob("terraform.tfstate") if "tfstate.d" in
                    str(path)] == [made.workspace.name]  # fmt: skip

        # One of them goes, and the others don't notice.
        assert infra.destroy(deployments[0]).clean
        assert len(cloud.inventory()["log_groups"]) == FIVE - 1
        assert all(report.clean for report in pool.map(infra.destroy, deployments[1:]))
        assert contents(cloud) == []
        assert Ledger(home).entries() == ([], [])
        assert {path.name for path in root.iterdir()} == {"main.tf"}
