"""What nobody's ledger knows is found by its tags and its names, and only that is touched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.ledger import Ledger, Owner
from harness.leftovers import Clients, listed, remove
from harness.localcloud.handle import LocalCloud
from harness.sweep import look
from harness.targets import Target
from tests.unit.infra.conftest import EntryMaker

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
GRANT = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}]}
)
LOST = "demo-q1w2e3r4"
EXPIRED = datetime.now(UTC) - timedelta(hours=1)
YOUNG = datetime.now(UTC) + timedelta(hours=1)

Sweep = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    """A cloud of this module's own: a sweep looks at all of it."""
    with LocalCloud.start(time_scale=60.0) as running:
        yield running


@pytest.fixture(autouse=True)
def emptied(target: Target) -> Iterator[None]:
    """Leaves nothing to the next test."""
    yield
    clients = Clients(target)
    remove(clients, [leftover for leftover, _ in listed(clients)])


@pytest.fixture
def run(home: Path, target: Target, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sweep:
    """Runs the command and gives its rows by workspace."""
    monkeypatch.setenv("HARNESS_HOME", str(home))
    monkeypatch.setenv("HARNESS_ENDPOINT_URL", str(target.endpoint_url))
    monkeypatch.delenv("HARNESS_TARGET", raising=False)

    def sweep(*arguments: str, code: int = 0) -> dict[str, dict[str, Any]]:
        assert main(["sweep", "--json", *arguments]) == code
        return {row["workspace"]: row for row in json.loads(capsys.readouterr().out)}

    return sweep


def tags(workspace: str, expires: datetime) -> dict[str, str]:
    return {
        "durable-harness:workspace": workspace,
        "durable-harness:expires-at": expires.isoformat(timespec="seconds"),
    }


def make_group(target: Target, name: str, marks: dict[str, str]) -> None:
    target.client("logs").create_log_group(logGroupName=name, tags=marks)


def make_role(target: Target, name: str, marks: dict[str, str]) -> None:
    pairs = [{"Key": key, "Value": value} for key, value in marks.items()]
    target.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=TRUST, Tags=pairs)


def make_policy(target: Target, name: str, marks: dict[str, str]) -> None:
    pairs = [{"Key": key, "Value": value} for key, value in marks.items()]
    target.client("iam").create_policy(PolicyName=name, PolicyDocument=GRANT, Tags=pairs)


def remaining(cloud: LocalCloud) -> list[str]:
    return [name for names in cloud.inventory().values() for name in names]


def test_without_yes_nothing_is_touched(run: Sweep, target: Target, cloud: LocalCloud) -> None:
    make_group(target, "/g/q1w2e3r4", tags(LOST, EXPIRED))
    rows = run()
    assert rows[LOST]["verdict"] == "orphan"
    assert rows[LOST]["resources"] == [{"kind": "log group", "name": "/g/q1w2e3r4"}]
    assert remaining(cloud) == ["/g/q1w2e3r4"]


def test_everything_with_the_mark_goes_and_nothing_else(run: Sweep, target: Target, cloud: LocalCloud) -> None:
    make_group(target, "/g/q1w2e3r4", tags(LOST, EXPIRED))
    target.client("sqs").create_queue(QueueName="untagged-q1w2e3r4")
    make_group(target, "/somebody/else", {"team": "other"})
    make_role(target, "somebody-else", {})

    assert run("--yes")[LOST]["verdict"] == "removed"

    assert sorted(remaining(cloud)) == ["/somebody/else", "somebody-else"]


def test_a_role_and_a_policy_alone_are_found_though_the_tagging_api_doesnt_know_them(
    run: Sweep, target: Target, cloud: LocalCloud
) -> None:
    make_role(target, "role-q1w2e3r4", tags(LOST, EXPIRED))
    make_policy(target, "policy-z1w2e3r4", tags("other-z1w2e3r4", EXPIRED))
    rows = run("--yes")
    assert {name: row["verdict"] for name, row in rows.items()} == {LOST: "removed", "other-z1w2e3r4": "removed"}
    assert remaining(cloud) == []


def test_what_has_not_expired_may_be_in_use(run: Sweep, target: Target, cloud: LocalCloud) -> None:
    make_group(target, "/g/q1w2e3r4", tags(LOST, YOUNG))
    row = run("--yes")[LOST]
    assert row["verdict"] == "too young"
    assert "expires" in row["detail"]
    assert remaining(cloud) != []


def test_an_age_overrides_the_expiry(run: Sweep, target: Target) -> None:
    # It expires in an hour, so it was deployed 23 hours ago.
    make_group(target, "/g/q1w2e3r4", tags(LOST, YOUNG))
    assert run("--older-than", "22h")[LOST]["verdict"] == "orphan"
    assert run("--older-than", "1d")[LOST]["verdict"] == "too young"


@pytest.mark.parametrize(("owner", "says"), [(Owner.this_process(), "still runs"), (None, "destroy-all")])
def test_a_workspace_in_the_ledger_is_never_touched(
    run: Sweep, target: Target, make_entry: EntryMaker, owner: Owner | None, says: str
) -> None:
    Ledger().write(make_entry(LOST, owner=owner))
    make_group(target, "/g/q1w2e3r4", tags(LOST, EXPIRED))
    row = run("--yes", "--older-than", "0s")[LOST]
    assert row["verdict"] == "in the ledger"
    assert says in row["detail"]
    assert [leftover.name for leftover, _ in listed(Clients(target))] == ["/g/q1w2e3r4"]


def test_a_workspace_whose_entry_cant_be_read_is_never_touched(
    run: Sweep, target: Target, cloud: LocalCloud, home: Path
) -> None:
    Ledger(home).path(LOST).write_text("{")
    make_group(target, "/g/q1w2e3r4", tags(LOST, EXPIRED))
    assert run("--yes")[LOST]["verdict"] == "in the ledger"
    assert remaining(cloud) == ["/g/q1w2e3r4"]


@pytest.mark.parametrize("value", ["", "demo", "demo-short", "demo-", "Demo-q1w2e3r4", "*-q1w2e3r4"])
def test_a_tag_that_the_harness_didnt_write_names_no_workspace(
    run: Sweep, target: Target, cloud: LocalCloud, value: str
) -> None:
    make_group(target, "/g/other", {**tags(LOST, EXPIRED), "durable-harness:workspace": value})
    assert run("--yes", "--older-than", "0s") == {}
    assert remaining(cloud) == ["/g/other"]


def test_what_has_no_tags_is_found_by_the_examples_name(run: Sweep, target: Target, cloud: LocalCloud) -> None:
    # A log that arrives after the destroy creates its group again, without tags.
    make_group(target, "/aws/lambda/order-processing-q1w2e3r4", {})
    make_group(target, "/aws/lambda/my-frontend", {})
    make_group(target, "/aws/lambda/order-processing-frontends", {})
    workspace = "order-processing-q1w2e3r4"

    assert run("--yes") == {}
    assert run("--yes", "--example", "order_processing")[workspace]["verdict"] == "too young"
    rows = run("--yes", "--example", "order_processing", "--older-than", "0s")

    assert {name: row["verdict"] for name, row in rows.items()} == {workspace: "removed"}
    assert sorted(remaining(cloud)) == ["/aws/lambda/my-frontend", "/aws/lambda/order-processing-frontends"]


def test_a_name_whose_end_is_a_word_takes_nothing_else_with_it(run: Sweep, target: Target, cloud: LocalCloud) -> None:
    make_group(target, "/aws/lambda/orders-frontend", {})
    make_role(target, "my-frontend", {})
    rows = run("--yes", "--example", "orders", "--older-than", "0s")
    assert rows["orders-frontend"]["resources"] == [{"kind": "log group", "name": "/aws/lambda/orders-frontend"}]
    assert remaining(cloud) == ["my-frontend"]


def test_the_age_of_every_listed_kind_is_known(target: Target, cloud: LocalCloud) -> None:
    name = "demo-q1w2e3r4"
    make_group(target, name, {})
    make_role(target, name, {})
    make_policy(target, name, {})
    target.client("sqs").create_queue(QueueName=name)
    target.client("s3").create_bucket(Bucket=name)
    target.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
    )
    now = datetime.now(UTC)
    late, early = now + timedelta(days=2), now - timedelta(minutes=1)
    clients = Clients(target)
    (orphan,) = look(clients, lambda _: None, now=late, examples=["demo"])
    assert (orphan.verdict, len(orphan.resources)) == ("orphan", 6)
    (orphan,) = look(clients, lambda _: None, now=early, examples=["demo"])
    assert orphan.verdict == "too young"


def test_what_cant_be_removed_ends_with_1(run: Sweep, target: Target, cloud: LocalCloud) -> None:
    topic = target.client("sns").create_topic(
        Name="topic-q1w2e3r4", Tags=[{"Key": key, "Value": value} for key, value in tags(LOST, EXPIRED).items()]
    )
    row = run("--yes", code=1)[LOST]
    assert row["verdict"] == "left"
    assert row["resources"] == [{"kind": "tagged resource", "name": topic["TopicArn"]}]
    target.client("sns").delete_topic(TopicArn=topic["TopicArn"])


def test_an_aws_account_is_swept_only_by_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--target", "aws", "--yes"]) == 2
    assert "--account" in capsys.readouterr().err


def test_another_account_than_the_named_one_is_refused(
    run: Sweep, target: Target, cloud: LocalCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    make_group(target, "/g/q1w2e3r4", tags(LOST, EXPIRED))
    assert main(["sweep", "--yes", "--account", "999999999999"]) == 1
    assert "not to 999999999999" in capsys.readouterr().err
    assert remaining(cloud) != []


def test_a_local_cloud_must_be_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("HARNESS_TARGET", "HARNESS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    assert main(["sweep"]) == 2
    assert "HARNESS_ENDPOINT_URL" in capsys.readouterr().err
