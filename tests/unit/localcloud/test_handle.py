"""The handle starts real clouds, with everything in them, and none outlives its owner."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws_durable_execution_sdk_python as sdk
import boto3
import pytest

from harness.errors import LocalCloudError
from harness.localcloud.handle import LocalCloud

from .conftest import TRUST, make_zip

LIMIT = 60.0
MANAGED = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


def _client(cloud: LocalCloud, service: str) -> Any:
    make: Any = boto3.client
    return make(
        service,
        endpoint_url=cloud.endpoint_url,
        region_name=cloud.region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def _function(cloud: LocalCloud, name: str, code: bytes, **members: Any) -> None:
    iam = _client(cloud, "iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn=MANAGED)
    _client(cloud, "lambda").create_function(
        FunctionName=name, Role=role, Handler="app.handler", Runtime="python3.13", Code={"ZipFile": code}, **members
    )


def _gone(*pids: int) -> bool:
    """Wait until processes, our own children or not, have ended."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if not select.select([descriptor], [], [], LIMIT)[0]:
                return False
        finally:
            os.close(descriptor)
    return True


def _descendants(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    log = tmp_path_factory.mktemp("cloud") / "cloud.log"
    planted = {"AWS_ACCESS_KEY_ID": "AKIAREAL", "AWS_SECRET_ACCESS_KEY": "real-secret", "AWS_PROFILE": "production"}
    with pytest.MonkeyPatch.context() as patch:
        for key, value in planted.items():
            patch.setenv(key, value)
        started = LocalCloud.start(time_scale=100, region="eu-west-1", log_file=log)
    with started:
        yield started


def test_a_started_cloud_is_a_process_of_its_own_that_says_where_it_is(cloud: LocalCloud) -> None:
    assert cloud.alive
    assert cloud.endpoint_url.startswith("http://127.0.0.1:")
    assert (cloud.region, cloud.account_id, cloud.time_scale) == ("eu-west-1", "123456789012", 100)
    assert os.getpgid(cloud.pid) == cloud.pid != os.getpgid(0)


def test_the_developers_credentials_reach_neither_the_cloud_nor_its_functions(cloud: LocalCloud) -> None:
    environments = [Path(f"/proc/{cloud.pid}/environ").read_text()]
    code = "import os\ndef handler(event, context):\n    return dict(os.environ)\n"
    _function(cloud, "environment", make_zip({"app.py": code}))
    answer = _client(cloud, "lambda").invoke(FunctionName="environment")["Payload"].read().decode()
    assert json.loads(answer)["AWS_ENDPOINT_URL"] == cloud.endpoint_url
    environments.append(answer)
    for text in environments:
        for secret in ("AKIAREAL", "real-secret", "production"):
            assert secret not in text


def test_a_durable_function_runs_in_it_from_its_start_to_its_logs(cloud: LocalCloud) -> None:
    code = """
    from aws_durable_execution_sdk_python import DurableContext, durable_execution
    from aws_durable_execution_sdk_python.config import Duration

    @durable_execution
    def handler(event, context: DurableContext):
        doubled = context.step(lambda _: event["n"] * 2, name="double")
        context.wait(Duration.from_seconds(30), name="pause")
        print("sentinel after the wait")
        return {"doubled": doubled}
    """
    buffer, package = io.BytesIO(), Path(next(iter(sdk.__path__)))
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", textwrap.dedent(code))
        for path in package.rglob("*.py"):
            archive.write(path, path.relative_to(package.parent))
    config = {"ExecutionTimeout": 600, "RetentionPeriodInDays": 1}
    _function(cloud, "durable", buffer.getvalue(), Timeout=30, Publish=True, DurableConfig=config)
    functions = _client(cloud, "lambda")
    functions.create_alias(FunctionName="durable", Name="live", FunctionVersion="1")
    answer = functions.invoke(
        FunctionName="durable", Qualifier="live", DurableExecutionName="run", Payload=b'{"n": 21}'
    )
    assert json.load(answer["Payload"]) == {"doubled": 42}
    history = functions.get_durable_execution_history(DurableExecutionArn=answer["DurableExecutionArn"])["Events"]
    assert {"ExecutionStarted", "StepSucceeded", "WaitSucceeded", "ExecutionSucceeded"} <= {
        event["EventType"] for event in history
    }
    events = _client(cloud, "logs").filter_log_events(logGroupName="/aws/lambda/durable")["events"]
    assert "sentinel after the wait\n" in [event["message"] for event in events]
    functions.delete_function(FunctionName="durable")
    assert "durable" not in cloud.inventory()["functions"]


def test_the_time_scale_of_the_engine_changes_with_the_clouds(cloud: LocalCloud) -> None:
    cloud.time_scale = 3600
    assert cloud.time_scale == 3600
    with pytest.raises(LocalCloudError, match="1 to 100000"):
        cloud.time_scale = 0.5
    cloud.time_scale = 100


def test_stop_ends_the_process_and_removes_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    cloud = LocalCloud.start(log_file=tmp_path / "cloud.log")
    assert [path for path in tmp_path.iterdir() if path.is_dir()]
    cloud.stop()
    cloud.stop()
    assert not cloud.alive
    assert _gone(cloud.pid)
    assert list(tmp_path.iterdir()) == [tmp_path / "cloud.log"]


def test_two_clouds_share_nothing(cloud: LocalCloud) -> None:
    with LocalCloud.start() as other:
        _client(other, "logs").create_log_group(logGroupName="/only/in/the/other")
        assert other.inventory()["log_groups"] == ["/only/in/the/other"]
        assert "/only/in/the/other" not in cloud.inventory()["log_groups"]
        with pytest.raises(LocalCloudError, match="403"):
            LocalCloud.attach(cloud.endpoint_url, other.token)


_OWNER = '''
import json, sys, threading
from tests.unit.localcloud.test_handle import LocalCloud, _client, _descendants, _function, make_zip

cloud = LocalCloud.start()
code = """
import os, threading
def handler(event, context):
    with open(event["fifo"], "w") as pipe:
        pipe.write(str(os.getpid()))
    threading.Event().wait()
"""
_function(cloud, "hanging", make_zip({"app.py": code}), Timeout=900)
payload = json.dumps({"fifo": sys.argv[1]})
_client(cloud, "lambda").invoke(FunctionName="hanging", InvocationType="Event", Payload=payload)
with open(sys.argv[1]) as pipe:
    running = int(pipe.read())
print(json.dumps({"cloud": cloud.pid, "running": running, "below": _descendants(cloud.pid)}), flush=True)
threading.Event().wait()
'''


def test_an_owner_that_is_killed_takes_the_cloud_and_everything_below_it_along(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(root)}
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(fifo)], stdout=subprocess.PIPE, env=environment, cwd=root
    ) as owner:
        assert owner.stdout is not None
        pids = json.loads(owner.stdout.readline())
        owner.kill()
        owner.wait(LIMIT)
    assert _gone(pids["cloud"], pids["running"], *pids["below"])
    assert list(tmp_path.iterdir()) == [fifo]


def test_a_cloud_that_is_killed_takes_everything_below_it_along() -> None:
    with LocalCloud.start() as cloud:
        _function(cloud, "warm", make_zip({"app.py": "def handler(event, context):\n    return 1\n"}))
        _client(cloud, "lambda").invoke(FunctionName="warm")
        below = _descendants(cloud.pid)
        assert below
        os.kill(cloud.pid, signal.SIGKILL)
        assert _gone(*below)
        assert not cloud.alive


# Failures to start


def _broken_moto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    package = tmp_path / "broken" / "moto"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))


def test_missing_packages_are_named_with_the_command_that_installs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _broken_moto(tmp_path, monkeypatch, "raise ModuleNotFoundError(\"No module named 'moto'\", name='moto')")
    with pytest.raises(LocalCloudError, match=r"pip install 'durable-functions-harness\[local\]'") as caught:
        LocalCloud.start()
    assert "moto" in str(caught.value)


def test_a_crash_while_starting_shows_the_end_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _broken_moto(tmp_path, monkeypatch, "raise RuntimeError('moto is broken today')")
    with pytest.raises(LocalCloudError, match="ended with status 1 while starting") as caught:
        LocalCloud.start(log_file=tmp_path / "cloud.log")
    assert "moto is broken today" in str(caught.value)
    assert "moto is broken today" in (tmp_path / "cloud.log").read_text()


def test_a_cloud_that_isnt_ready_in_time_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def record(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments, **options))
        return started[-1]

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", record)
    _broken_moto(tmp_path, monkeypatch, "import threading\nthreading.Event().wait()")
    with pytest.raises(LocalCloudError, match=r"not ready within 0\.2 s"):
        LocalCloud.start(ready_timeout=0.2)
    assert [process.returncode is not None for process in started] == [True]


def test_a_setting_out_of_range_is_said_by_name() -> None:
    with pytest.raises(LocalCloudError, match="time scale must be a number from 1 to 100000"):
        LocalCloud.start(time_scale=0)


def test_attaching_to_nothing_says_so() -> None:
    with pytest.raises(LocalCloudError, match="No local cloud answers") as caught:
        LocalCloud.attach("http://127.0.0.1:9", "token")
    assert "python -m harness.localcloud" in str(caught.value)


# The command


def test_the_command_prints_what_to_export_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "harness.localcloud", "--region", "eu-west-1", "--time-scale", "7"]
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root, start_new_session=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(6)]
        exports = dict(
            part.split("=", 1)
            for line in lines
            if line.startswith("export ")
            for part in line.removeprefix("export ").partition("  #")[0].split()
        )
        assert exports["AWS_REGION"] == exports["AWS_DEFAULT_REGION"] == "eu-west-1"
        attached = LocalCloud.attach(exports["AWS_ENDPOINT_URL"], exports["HARNESS_CLOUD_TOKEN"])
        assert attached.time_scale == 7
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_command_serves_no_other_machine() -> None:
    command = [sys.executable, "-m", "harness.localcloud", "--host", "0.0.0.0"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    assert result.returncode == 2
    assert "127.0.0.1" in result.stderr


def test_a_taken_port_is_said_and_nothing_is_left(cloud: LocalCloud, tmp_path: Path) -> None:
    port = cloud.endpoint_url.rpartition(":")[2]
    command = [sys.executable, "-m", "harness.localcloud", "--port", port]
    environment, root = {**os.environ, "TMPDIR": str(tmp_path)}, Path(__file__).parents[3]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, env=environment)
    assert result.returncode == 2
    assert list(tmp_path.iterdir()) == []
    assert "can't start" in result.stderr
    assert port in result.stderr


def test_a_forked_copy_of_the_owner_has_no_hold_on_the_cloud(cloud: LocalCloud) -> None:
    lifeline = cloud._lifeline
    assert lifeline is not None
    pid = os.fork()
    if pid == 0:
        try:
            os.fstat(lifeline)
            os._exit(1)  # still open: the cloud would outlive its owner for as long as this copy lives
        except OSError:
            cloud.stop()
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert cloud.alive
