"""The pytest plugin: options, fixtures and hooks; the work is done in `harness.session` and below.

Nothing here reads a setting that could send an unsuspecting ``pytest`` to an AWS account: only
``--harness-target=aws`` on the command line does that.

pytest imports this module in every run of every project that has the harness installed, so what is heavy (boto3, the
session) is imported where it is needed.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import ConfigurationError, HarnessError

if TYPE_CHECKING:
    from types import FrameType

    from harness.durable import DurableFunction
    from harness.infra import Deployment
    from harness.plugin_paths import PathChecks, Verdict
    from harness.plugin_report import Reporter
    from harness.session import HarnessSession, InjectedFaults, SessionReport, Settings
    from harness.targets import Target

# What botocore may try for calls that tests make themselves; at a third of failures, one call of 10,000 fails.
_ATTEMPTS = 9

_SESSION: pytest.StashKey[HarnessSession] = pytest.StashKey()
_REPORTER: pytest.StashKey[Reporter] = pytest.StashKey()
_REPORT: pytest.StashKey[SessionReport] = pytest.StashKey()
_PATHS: pytest.StashKey[PathChecks] = pytest.StashKey()
_VERDICTS: pytest.StashKey[list[Verdict]] = pytest.StashKey()
# What workers of pytest-xdist have left behind, and where they say so.
_OF_WORKERS: pytest.StashKey[list[str]] = pytest.StashKey()
_LEFT = "durable_harness_left"
_DESELECTED: pytest.StashKey[list[pytest.Item]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the harness's options and ini settings."""
    group = parser.getgroup("durable harness", "AWS Lambda durable functions, deployed with Terraform")
    group.addoption(
        "--harness-target",
        choices=("local", "aws"),
        default="local",
        help="where to deploy: a local cloud that starts by itself, or the AWS account of your credentials",
    )
    group.addoption("--harness-region", default="us-east-1", metavar="REGION", help="the AWS region (us-east-1)")
    group.addoption("--harness-profile", default=None, metavar="NAME", help="the named AWS profile for target aws")
    group.addoption(
        "--harness-endpoint-url",
        default=None,
        metavar="URL",
        help="local target: a local cloud, or another emulator, that already runs, rather than one of this run's own",
    )
    group.addoption(
        "--harness-faults",
        default="calm",
        metavar="PLAN",
        help="local target: what goes wrong: calm, realistic, storm, or a TOML file (calm); see docs/local-cloud.md",
    )
    group.addoption(
        "--harness-seed",
        type=int,
        default=None,
        metavar="N",
        help="local target: what the chance of faults starts from; drawn and printed by default",
    )
    group.addoption("--harness-keep", action="store_true", help="leave deployments standing at the end")
    group.addoption(
        "--harness-reuse",
        action="store_true",
        help="take what an earlier run kept, applying what has changed since; keeps what it deploys anew",
    )
    group.addoption(
        "--harness-state",
        default=None,
        metavar="s3://BUCKET/PREFIX",
        help="keep Terraform's states there, with what another machine needs to destroy them",
    )
    group.addoption(
        "--harness-time-scale",
        type=float,
        default=60.0,
        metavar="X",
        help="local target: how much faster than the wall clock durable waits, retries and timeouts pass (60)",
    )
    group.addoption(
        "--harness-parallel", type=int, default=None, metavar="N", help="Terraform runs at once (by cores and memory)"
    )
    group.addoption(
        "--harness-paths",
        choices=("check", "report", "off"),
        default=None,
        help="what to do about paths of a function that no test reaches, and about handlers that aren't deterministic: "
        "fail the run (check, the default), only print them (report), or don't look (off); see docs/paths.md",
    )
    parser.addini("harness_paths", "the default of --harness-paths", default="check")
    parser.addini("harness_terraform_root", "folder with one Terraform root per test module", default="terraform")
    parser.addini("harness_state", "the default of --harness-state; HARNESS_STATE is the default of both", default="")
    parser.addini("harness_allowed_accounts", "account ids that target aws may touch", type="args", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and let a polite kill tear down as Ctrl-C does."""
    config.addinivalue_line("markers", "integration: deploys with Terraform and runs real executions")
    config.addinivalue_line(
        "markers",
        "terraform(directory): the Terraform root that this module's `deployment` fixture deploys; "
        "by default the folder under harness_terraform_root that test_<folder>.py names",
    )
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)


def _terminate(_signum: int, _frame: FrameType | None) -> None:
    # CI systems cancel a job with SIGTERM: it must destroy what stands, as Ctrl-C does.
    raise KeyboardInterrupt


def settings_from(config: pytest.Config) -> Settings:
    """The session's settings, checked.

    Raises:
        pytest.UsageError: A value can't be used.
    """
    from harness.session import Settings

    option = config.option
    if not option.harness_time_scale > 0:
        raise pytest.UsageError(f"--harness-time-scale must be greater than 0, not {option.harness_time_scale}")
    if option.harness_parallel is not None and option.harness_parallel < 1:
        raise pytest.UsageError(f"--harness-parallel must be 1 or more, not {option.harness_parallel}")
    if option.harness_endpoint_url and option.harness_target == "aws":
        raise pytest.UsageError("--harness-endpoint-url names an emulator; it can't be used with --harness-target=aws")
    try:
        return Settings(
            target=option.harness_target,
            region=option.harness_region,
            profile=option.harness_profile,
            allowed_accounts=tuple(config.getini("harness_allowed_accounts")),
            endpoint_url=option.harness_endpoint_url,
            time_scale=option.harness_time_scale,
            keep=option.harness_keep,
            reuse=option.harness_reuse,
            state=_state_from(config),
            parallel=option.harness_parallel,
            faults=option.harness_faults,
            seed=option.harness_seed,
            cloud_token=os.environ.get("HARNESS_CLOUD_TOKEN"),
        )
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from error


def _state_from(config: pytest.Config) -> str | None:
    option = config.option
    if option.harness_state:
        return str(option.harness_state)
    if option.harness_target == "local" and not option.harness_endpoint_url:
        # The setting is for what outlives the run; a local cloud of the run's own doesn't, and has no such bucket.
        return None
    return str(config.getini("harness_state") or os.environ.get("HARNESS_STATE") or "") or None


def _session_of(config: pytest.Config) -> HarnessSession:
    session = config.stash.get(_SESSION, None)
    if session is None:
        from harness.plugin_report import Reporter
        from harness.session import HarnessSession

        reporter = Reporter(config)
        checks = _path_checks(config)
        session = HarnessSession(
            settings_from(config),
            before_first_deploy=reporter.announce,
            before_destroy=None if checks is None else checks.collect,
        )
        session.bus.subscribe(reporter.on_event)
        config.stash[_REPORTER] = reporter
        config.stash[_SESSION] = session
    return session


def _path_checks(config: pytest.Config) -> PathChecks | None:
    mode = config.option.harness_paths or config.getini("harness_paths")
    if mode not in ("check", "report", "off"):
        raise pytest.UsageError(f"harness_paths must be check, report or off, not {mode!r}")
    # Under pytest-xdist a worker sees only the tests that it got: what it doesn't reach, another one may.
    if mode == "off" or hasattr(config, "workerinput"):
        return None
    checks = config.stash.get(_PATHS, None)
    if checks is None:
        from harness.plugin_paths import PathChecks

        checks = config.stash[_PATHS] = PathChecks(mode)
    return checks


def _deploying(item: pytest.Item, config: pytest.Config) -> Path | None:
    """The Terraform root that a test deploys, None when it deploys nothing or what it names isn't there."""
    if not isinstance(item, pytest.Function) or "deployment" not in item.fixturenames:
        return None
    try:
        return example_dir_of(item, config)
    except ConfigurationError:
        return None  # the test's own fixture reports it, where it belongs


def example_dir_of(node: pytest.Item | pytest.Module, config: pytest.Config) -> Path:
    """The Terraform root of a test's module.

    Raises:
        ConfigurationError: Neither the marker nor the module's name leads to a folder.
    """
    marker = node.get_closest_marker("terraform")
    if marker is not None:
        if len(marker.args) != 1:
            raise ConfigurationError(
                "pytest.mark.terraform takes one argument, the Terraform root's directory", where=node.nodeid
            )
        directory = config.rootpath / str(marker.args[0])
        hint = "Correct the marker; the path is relative to pytest's rootdir."
    else:
        name = node.path.stem.removeprefix("test_")
        directory = config.rootpath / config.getini("harness_terraform_root") / name
        hint = (
            "Name the root with pytest.mark.terraform('path'), set harness_terraform_root, "
            f"or name the test module after its root (test_{name}.py deploys .../{name})."
        )
    if not directory.is_dir():
        raise ConfigurationError(f"There is no Terraform root {directory}", where=node.nodeid, hint=hint)
    return directory


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run what needs no deployment first, then the modules in the order in which they are deployed.

    Tests of what is ready then run while the rest still deploys. Within a module the order stays.
    """
    directories = [_deploying(item, config) for item in items]
    tests = Counter(directory for directory in directories if directory is not None)
    if len(tests) < 2:
        return
    ranks = {directory: rank for rank, (directory, _) in enumerate(tests.most_common(), start=1)}
    ranked = sorted(zip(directories, items, strict=True), key=lambda pair: ranks[pair[0]] if pair[0] else 0)
    items[:] = [item for _, item in ranked]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to deploy everything that was collected, the example with the most tests first."""
    config = session.config
    if config.option.collectonly or config.option.setupplan:
        return
    # Once per module: each of them releases the deployment when it is done.
    modules = dict.fromkeys((_deploying(item, config), item.path) for item in session.items)
    order = [directory for directory, _ in modules if directory is not None]
    if not order:
        return
    if hasattr(config, "workerinput"):
        return  # each worker of pytest-xdist has collected everything, and deploys what its own tests ask for
    _expect_paths(session)
    try:
        _session_of(config).prefetch(order)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Keep what isn't going to run: of its example, nobody can say which paths no test reaches."""
    for item in items:
        item.config.stash.setdefault(_DESELECTED, []).append(item)


def _expect_paths(session: pytest.Session) -> None:
    """Tell the path checks what is going to run and what isn't."""
    config = session.config
    checks = _path_checks(config)
    if checks is None:
        return
    # A node id names a part of a module; what it leaves out is never collected.
    narrowed = {
        (config.invocation_params.dir / argument.partition("::")[0]).resolve()
        for argument in config.args
        if "::" in argument
    }
    for item in session.items:
        directory = _deploying(item, config)
        if directory is not None:
            checks.selected(directory, item.nodeid)
            if item.path.resolve() in narrowed:
                checks.narrowed(directory, item.path.name)
    for item in config.stash.get(_DESELECTED, []):
        directory = _deploying(item, config)
        if directory is not None:
            checks.deselected(directory)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Keep how the tests of each example went."""
    report: pytest.TestReport = yield  # type: ignore[assignment] # the other hooks' result
    checks = item.config.stash.get(_PATHS, None)
    directory = None if checks is None else _deploying(item, item.config)
    if checks is not None and directory is not None:
        # An expected failure has run, and reached what it reaches.
        outcome = "passed" if hasattr(report, "wasxfail") else report.outcome
        checks.outcome(directory, item.nodeid, outcome, is_call=report.when == "call")
    return report  # type: ignore[return-value] # a wrapper returns it, whatever the annotation of generators says


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Destroy what stands, and turn a leak or a dead path into a failing exit status."""
    config = session.config
    harness_session = config.stash.get(_SESSION, None)
    if harness_session is None:
        if config.stash.get(_OF_WORKERS, None) and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return
    report = harness_session.close(interrupted=exitstatus == pytest.ExitCode.INTERRUPTED)
    config.stash[_REPORT] = report
    if hasattr(config, "workeroutput"):
        from harness.plugin_report import problems

        # A worker's exit status and terminal are nobody's: its controller tells.
        config.workeroutput[_LEFT] = problems(report)
    checks = config.stash.get(_PATHS, None)
    verdicts = config.stash[_VERDICTS] = [] if checks is None else checks.finish()
    failing = not report.clean or any(verdict.failing for verdict in verdicts)
    if failing and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a worker of pytest-xdist has left behind."""
    left = getattr(node, "workeroutput", {}).get(_LEFT, [])
    node.config.stash.setdefault(_OF_WORKERS, []).extend(left)


def pytest_terminal_summary(config: pytest.Config) -> None:
    """Say where the time went, what is kept, and what is left."""
    left_by_workers = config.stash.get(_OF_WORKERS, None)
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if left_by_workers and terminal is not None:
        terminal.section("durable harness", sep="-")
        for line in left_by_workers:
            terminal.write_line(line, red=True, bold=True)
    reporter = config.stash.get(_REPORTER, None)
    report = config.stash.get(_REPORT, None)
    if reporter is not None and report is not None:
        reporter.summary(report)
    verdicts = config.stash.get(_VERDICTS, None)
    if verdicts:
        from harness.plugin_paths import write

        write(config.pluginmanager.get_plugin("terminalreporter"), verdicts)


@pytest.fixture(scope="session")
def harness_session(request: pytest.FixtureRequest) -> HarnessSession:
    """This run's `harness.session.HarnessSession`."""
    return _session_of(request.config)


@pytest.fixture(scope="session")
def harness_target(harness_session: HarnessSession) -> Target:
    """Where this run deploys: its account, region, endpoint, and clients (``harness_target.client("s3")``)."""
    return harness_session.target


@pytest.fixture
def fault_plan(harness_session: HarnessSession) -> Callable[..., AbstractContextManager[InjectedFaults]]:
    """Sets another fault plan of the local cloud for the length of a block.

    Used as ``with fault_plan("storm") as faults:``; it takes a preset's name, a file, a plan or a mapping, and a
    seed; afterwards the plan before holds again. ``faults.total("throttle")`` counts what happened in the block.
    Without a local cloud's admin endpoint, such as on AWS, it raises ConfigurationError. See docs/local-cloud.md.
    """
    return harness_session.faults


@contextmanager
def _told_without_traceback() -> Iterator[None]:
    """Let the harness's own errors speak for themselves: they say what, where and what next."""
    try:
        yield
    except HarnessError as error:
        # Chained to the error that it repeats, pytest would print everything twice.
        raise pytest.fail.Exception(f"{type(error).__name__}: {error}", pytrace=False) from None


@pytest.fixture(scope="module")
def example_dir(request: pytest.FixtureRequest) -> Path:
    """The Terraform root of this test module."""
    with _told_without_traceback():
        return example_dir_of(request.node, request.config)


@pytest.fixture(scope="module")
def deployment(harness_session: HarnessSession, example_dir: Path) -> Iterator[Deployment]:
    """This module's example, deployed; destroyed when the module's last test is done."""
    with _told_without_traceback():
        deployed = harness_session.deployment(example_dir)
    yield deployed
    harness_session.release(example_dir)


@pytest.fixture(scope="module")
def lambda_client(harness_target: Target) -> Any:
    """A boto3 Lambda client on the target."""
    return harness_target.client("lambda")


@pytest.fixture(scope="module")
def logs_client(harness_target: Target) -> Any:
    """A boto3 CloudWatch Logs client on the target."""
    return harness_target.client("logs")


@pytest.fixture(scope="module")
def dynamodb_client(harness_target: Target) -> Any:
    """A boto3 DynamoDB client on the target. No policy of the harness stands around it, so botocore retries."""
    return harness_target.client("dynamodb", attempts=_ATTEMPTS)


@pytest.fixture(scope="module")
def durable(
    harness_session: HarnessSession, deployment: Deployment, lambda_client: Any, logs_client: Any
) -> DurableFunction:
    """The deployed durable function: start, wait, history, logs, callbacks."""
    return deployment.function(lambda_client, logs_client, events=harness_session.bus)
