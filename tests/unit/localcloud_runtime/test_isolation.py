"""What function code sees: Lambda's surroundings, and nothing of the developer's."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.localcloud.runtime import RuntimePool

from .conftest import MakeFunction, MakePool
from .support import ENDPOINT, value_of

ENVIRON = "import os\ndef handler(event, context): return dict(os.environ)"


@pytest.mark.parametrize("module", ["pytest", "harness", "moto", "werkzeug", "tests", "packaging", "h11"])
def test_what_lambda_does_not_have_cannot_be_imported(
    pool: RuntimePool, make_function: MakeFunction, module: str
) -> None:
    outcome = pool.invoke(make_function(f"import {module}\ndef handler(event, context): pass"), b"{}")
    assert outcome.error_type == "Runtime.ImportModuleError"
    assert outcome.error_message == f"Unable to import module 'app': No module named '{module}'"


def test_what_lambda_has_can_be_imported(pool: RuntimePool, make_function: MakeFunction) -> None:
    function = make_function(
        """
        import importlib, importlib.metadata

        def handler(event, context):
            for name in event:
                importlib.import_module(name)
            return importlib.metadata.version("boto3")
        """
    )
    names = '["boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3", "simplejson", "asyncio"]'
    assert value_of(pool.invoke(function, names.encode())).startswith("1.")


def test_the_developers_environment_and_credentials_stay_outside(
    make_pool: MakePool, make_function: MakeFunction, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "developer"
    (home / ".aws").mkdir(parents=True)
    secret = "[default]\naws_access_key_id = AKIAPLANTED\naws_secret_access_key = planted\nregion = us-planted-1\n"
    (home / ".aws" / "credentials").write_text(secret)
    (home / ".aws" / "config").write_text(secret)
    planted = {
        "HOME": str(home),
        "AWS_PROFILE": "planted",
        "AWS_ACCESS_KEY_ID": "AKIAPLANTED",
        "AWS_SECRET_ACCESS_KEY": "planted",
        "AWS_SESSION_TOKEN": "planted",
        "AWS_CONFIG_FILE": str(home / ".aws" / "config"),
        "AWS_ENDPOINT_URL_S3": "http://planted",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://planted",
        "PYTHONPATH": str(home / "planted"),
        "HTTPS_PROXY": "http://planted",
        "SOME_TOKEN": "planted",
    }
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    function = make_function(
        """
        import boto3, os, sys

        def handler(event, context):
            session = boto3.Session()
            credentials = session.get_credentials()
            return {
                "environ": dict(os.environ),
                "path": sys.path,
                "key": credentials.access_key,
                "token": credentials.token,
                "region": session.region_name,
                "endpoint": session.client("s3").meta.endpoint_url,
                "home": os.path.expanduser("~"),
                "profiles": session.available_profiles,
            }
        """
    )
    for start_method in ("fork", "exec"):
        seen = value_of(make_pool(start_method).invoke(function, b"{}"))
        assert "planted" not in str(seen).lower()
        assert str(home) not in str(seen)
        assert seen["key"].startswith("ASIA")
        assert seen["token"]
        assert (seen["region"], seen["endpoint"], seen["profiles"]) == ("eu-west-1", ENDPOINT, [])


def test_the_variables_are_lambdas(pool: RuntimePool, make_function: MakeFunction) -> None:
    function = make_function(
        ENVIRON,
        name="orders",
        version="4",
        memory_size=512,
        environment={"TABLE": "orders-table", "TZ": "Europe/Berlin", "AWS_REGION": "us-fake-1"},
    )
    seen = value_of(pool.invoke(function, b"{}"))
    expected = {
        "TABLE": "orders-table",
        "TZ": "Europe/Berlin",
        "_HANDLER": "app.handler",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_NAME": "orders",
        "AWS_LAMBDA_FUNCTION_VERSION": "4",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": "Text",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/orders",
        "AWS_ENDPOINT_URL": ENDPOINT,
        "AWS_EC2_METADATA_DISABLED": "true",
        "LAMBDA_TASK_ROOT": str(function.code_directory),
        "LANG": "en_US.UTF-8",
    }
    assert {name: seen.get(name) for name in expected} == expected
    assert seen["_X_AMZN_TRACE_ID"].startswith("Root=1-")
    assert "_LAMBDA_TELEMETRY_LOG_FD" not in seen


def test_the_time_zone_is_utc_unless_the_function_says_otherwise(
    pool: RuntimePool, make_function: MakeFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "import time\ndef handler(event, context): return time.strftime('%H', time.localtime(0))"
    assert value_of(pool.invoke(make_function(source), b"{}")) == "00"
    assert value_of(pool.invoke(make_function(source, environment={"TZ": "UTC-5"}), b"{}")) == "05"


def test_the_endpoint_may_be_known_only_later(make_pool: MakePool, make_function: MakeFunction) -> None:
    addresses: list[str] = []
    pool = make_pool(endpoint_url=lambda: addresses[0])
    addresses.append("http://127.0.0.1:4566")
    assert value_of(pool.invoke(make_function(ENVIRON), b"{}"))["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"


def test_the_functions_own_packages_win_over_the_runtimes(pool: RuntimePool, make_function: MakeFunction) -> None:
    function = make_function(
        "import boto3, uuid\ndef handler(event, context): return [boto3.MINE, uuid.MINE]",
        files={"boto3/__init__.py": "MINE = 'own boto3'", "uuid.py": "MINE = 'own uuid'"},
    )
    assert value_of(pool.invoke(function, b"{}")) == ["own boto3", "own uuid"]


def test_python_variables_of_the_function_count(pool: RuntimePool, make_function: MakeFunction) -> None:
    function = make_function(
        "import vendored\ndef handler(event, context): return vendored.VALUE", files={"lib/vendored.py": "VALUE = 1"}
    )
    with_path = {**vars(function), "environment": {"PYTHONPATH": str(function.code_directory / "lib")}}
    assert value_of(pool.invoke(type(function)(**with_path), b"{}")) == 1


def test_layers_come_after_the_code_and_later_layers_before_earlier(
    pool: RuntimePool, make_function: MakeFunction, tmp_path: Path
) -> None:
    layers = []
    for number in (1, 2):
        folder = tmp_path / f"layer-{number}" / "python"
        folder.mkdir(parents=True)
        layers.append(folder.parent)
        (folder / "shared.py").write_text(f"VALUE = 'layer {number}'")
        (folder / f"only_{number}.py").write_text(f"VALUE = 'layer {number}'")
        (folder / "local.py").write_text("VALUE = 'layer'")
    function = make_function(
        """
        import local, only_1, shared

        def handler(event, context):
            return [local.VALUE, only_1.VALUE, shared.VALUE]
        """,
        files={"local.py": "VALUE = 'code'"},
        layer_directories=tuple(layers),
    )
    assert value_of(pool.invoke(function, b"{}")) == ["code", "layer 1", "layer 2"]


def test_each_environment_has_a_temporary_folder_of_its_own_that_goes_with_it(
    make_pool: MakePool, make_function: MakeFunction
) -> None:
    pool = make_pool()
    source = """
    import tempfile

    def handler(event, context):
        with tempfile.NamedTemporaryFile(delete=False) as file:
            return file.name
    """
    files = [Path(value_of(pool.invoke(make_function(source), b"{}"))) for _ in range(2)]
    assert files[0].parent != files[1].parent
    assert all(file.exists() for file in files)
    pool.close()
    assert not any(file.exists() for file in files)


def test_the_code_folder_is_left_as_it_is(pool: RuntimePool, make_function: MakeFunction) -> None:
    function = make_function("import helper\ndef handler(event, context): pass", files={"helper.py": ""})
    value_of(pool.invoke(function, b"{}"))
    assert sorted(path.name for path in function.code_directory.iterdir()) == ["app.py", "helper.py"]


def test_the_interpreter_has_what_site_adds(pool: RuntimePool, make_function: MakeFunction) -> None:
    outcome = pool.invoke(make_function("def handler(event, context): exit(4)"), b"{}")
    assert outcome.error_type == "Runtime.ExitError"
    assert "exit status 4" in (outcome.error_message or "")


def test_asyncio_and_subprocesses_work_as_in_any_interpreter(pool: RuntimePool, make_function: MakeFunction) -> None:
    function = make_function(
        """
        import asyncio, signal, subprocess

        async def work():
            process = await asyncio.create_subprocess_exec("echo", "async", stdout=subprocess.PIPE)
            return (await process.communicate())[0].decode()

        def handler(event, context):
            default = [signal.getsignal(number) is signal.SIG_DFL for number in (signal.SIGTERM, signal.SIGCHLD)]
            return [asyncio.run(work()), subprocess.check_output(["echo", "sync"], text=True), default]
        """
    )
    assert value_of(pool.invoke(function, b"{}")) == ["async\n", "sync\n", [True, True]]


def test_environments_draw_different_random_numbers(pool: RuntimePool, make_function: MakeFunction) -> None:
    source = """
    import random, secrets, uuid

    def handler(event, context):
        return [random.random(), secrets.token_hex(8), str(uuid.uuid4())]
    """
    drawn = [value_of(pool.invoke(make_function(source), b"{}")) for _ in range(3)]
    assert all(len({tuple(draw)[index] for draw in drawn}) == 3 for index in range(3))


def test_a_function_leads_its_own_process_group_with_lambdas_limit_of_files(
    pool: RuntimePool, make_function: MakeFunction
) -> None:
    function = make_function(
        """
        import os, resource

        def handler(event, context):
            open_files = [fd for fd in range(1024) if os.path.exists(f"/proc/self/fd/{fd}")]
            return [os.getsid(0) == os.getpid(), resource.getrlimit(resource.RLIMIT_NOFILE)[0], len(open_files) < 16]
        """
    )
    assert value_of(pool.invoke(function, b"{}")) == [True, 1024, True]


def test_environments_of_different_fork_servers_hash_strings_differently(
    make_pool: MakePool, make_function: MakeFunction
) -> None:
    pool = make_pool(fork_servers=2)
    source = "def handler(event, context): return hash('a string')"
    assert len({value_of(pool.invoke(make_function(source), b"{}")) for _ in range(4)}) == 2
