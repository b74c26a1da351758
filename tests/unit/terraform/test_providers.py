from pathlib import Path

import hcl2
import pytest

from harness.errors import ConfigurationError, ProviderNotFoundError
from harness.terraform.hcl import Module, ProviderRequirement
from harness.terraform.providers import (
    Mirror,
    Mode,
    ProviderPlan,
    find_mirror,
    mirror_roots,
    plan_providers,
    provider_mode,
    read_mirror,
)

REGISTRY = "registry.terraform.io"
PLATFORM = "linux_amd64"
AWS = f"{REGISTRY}/hashicorp/aws"


def mirror_at(path: Path, *versions: str, platform: str = PLATFORM, provider: str = "hashicorp/aws") -> Path:
    for version in versions:
        (path / REGISTRY / provider / version / platform).mkdir(parents=True)
    return path


def module_wanting(version: str, source: str = "hashicorp/aws") -> Module:
    name = source.rsplit("/", maxsplit=1)[-1]
    requirement = ProviderRequirement(name, source, version)
    return Module(Path("/root"), (), {}, {}, {name: requirement}, {}, None, ())


def plan(version: str, mirror: Mirror | None, *, local: bool = True, mode: Mode = "auto") -> ProviderPlan:
    return plan_providers([module_wanting(version)], mirror, registry=REGISTRY, local=local, mode=mode)


@pytest.fixture
def old_mirror(tmp_path: Path) -> Mirror:
    return read_mirror(mirror_at(tmp_path, "5.100.0"), platform=PLATFORM)


def test_a_mirror_that_meets_the_requirement_is_used_as_it_is(tmp_path: Path) -> None:
    made = plan(">= 6.25", read_mirror(mirror_at(tmp_path, "5.100.0", "6.31.0"), platform=PLATFORM))
    assert made.mirrored == (AWS,)
    assert not made.compat


def test_an_older_release_runs_in_compatibility_mode_on_a_local_cloud(old_mirror: Mirror) -> None:
    made = plan(">= 6.25", old_mirror)
    assert made.compat
    assert made.pins == {"hashicorp/aws": "5.100.0"}


def test_aws_never_gets_compatibility_mode(old_mirror: Mirror) -> None:
    made = plan(">= 6.25", old_mirror, local=False)
    assert not made.compat
    assert made.mirror is None


def test_a_release_too_old_for_compatibility_mode_is_not_used(tmp_path: Path) -> None:
    made = plan(">= 6.25", read_mirror(mirror_at(tmp_path, "5.99.0"), platform=PLATFORM))
    assert made.mirror is None


def test_without_a_mirror_terraform_downloads() -> None:
    made = plan(">= 6.25", None)
    assert made.cli_config() == "provider_installation {\n  direct {}\n}\n"


def test_the_users_cli_configuration_stands_when_no_mirror_is_used() -> None:
    assert plan(">= 6.25", None).cli_config("credentials {}") == "credentials {}"


def test_what_the_mirror_lacks_is_still_downloaded(old_mirror: Mirror) -> None:
    modules = [module_wanting(">= 5.0"), module_wanting("~> 3.0", "hashicorp/random")]
    made = plan_providers(modules, old_mirror, registry=REGISTRY, local=True)
    text = made.cli_config()
    hcl2.loads(text)

    assert made.mirrored == (AWS,)
    assert f'include = ["{AWS}"]' in text
    assert f'exclude = ["{AWS}"]' in text


def test_every_modules_constraint_counts(tmp_path: Path) -> None:
    mirror = read_mirror(mirror_at(tmp_path, "6.30.0"), platform=PLATFORM)
    modules = [module_wanting(">= 6.25"), module_wanting("< 6.30")]
    assert plan_providers(modules, mirror, registry=REGISTRY, local=True).mirror is None


def test_mode_mirror_downloads_nothing(old_mirror: Mirror) -> None:
    made = plan(">= 5.0", old_mirror, mode="mirror")
    assert "direct" not in made.cli_config()


def test_mode_mirror_says_what_is_missing(old_mirror: Mirror) -> None:
    with pytest.raises(ProviderNotFoundError, match=r">= 6\.25; it has 5\.100\.0"):
        plan(">= 6.25", old_mirror, local=False, mode="mirror")
    with pytest.raises(ProviderNotFoundError, match="no provider mirror"):
        plan(">= 6.25", None, mode="mirror")


def test_mode_download_uses_no_mirror(tmp_path: Path) -> None:
    mirror = read_mirror(mirror_at(tmp_path, "6.31.0"), platform=PLATFORM)
    assert plan(">= 6.25", mirror, mode="download").mirror is None


def test_an_unknown_mode_is_a_clear_error() -> None:
    with pytest.raises(ConfigurationError, match="auto, mirror, download"):
        provider_mode({"HARNESS_PROVIDER": "cache"})


def test_a_constraint_that_cant_be_read_names_the_module(old_mirror: Mirror) -> None:
    with pytest.raises(ConfigurationError, match="/root"):
        plan("six or so", old_mirror)


def test_unpacked_and_packed_releases_are_found_for_this_platform_only(tmp_path: Path) -> None:
    mirror_at(tmp_path, "5.100.0")
    mirror_at(tmp_path, "6.1.0", platform="darwin_arm64")
    for platform in (PLATFORM, "darwin_arm64"):
        (tmp_path / AWS / f"terraform-provider-aws_6.2.0_{platform}.zip").touch()
    (tmp_path / AWS / "terraform-provider-aws_6.3.0_darwin_arm64.zip").touch()

    releases = read_mirror(tmp_path, platform=PLATFORM).releases[AWS]

    assert [str(version) for version in releases] == ["5.100.0", "6.2.0"]


def test_a_named_mirror_wins(tmp_path: Path) -> None:
    named = mirror_at(tmp_path / "named", "6.30.0")
    found = find_mirror(
        {"HARNESS_PROVIDER_MIRROR": str(named)},
        registry=REGISTRY,
        platform=PLATFORM,
        roots=[mirror_at(tmp_path / "other", "6.31.0")],
    )
    assert found is not None
    assert found.path == named


def test_a_named_folder_that_is_no_mirror_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="HARNESS_PROVIDER_MIRROR"):
        find_mirror({"HARNESS_PROVIDER_MIRROR": str(tmp_path)}, registry=REGISTRY, platform=PLATFORM)


def test_the_first_folder_with_this_platforms_provider_is_taken(tmp_path: Path) -> None:
    roots = [
        tmp_path / "absent",
        mirror_at(tmp_path / "mac", "6.31.0", platform="darwin_arm64"),
        mirror_at(tmp_path / "linux", "6.30.0"),
    ]
    found = find_mirror({}, registry=REGISTRY, platform=PLATFORM, roots=roots)
    assert found is not None
    assert found.path == tmp_path / "linux"


def test_the_usual_folders_are_searched(tmp_path: Path) -> None:
    (tmp_path / "opt" / "mirror").mkdir(parents=True)
    home = tmp_path / "home"
    roots = mirror_roots(
        {"XDG_DATA_DIRS": str(tmp_path / "xdg"), "TF_PLUGIN_CACHE_DIR": str(tmp_path / "cache")}, home, tmp_path
    )
    assert {
        home / ".terraform.d" / "plugins",
        home / ".local" / "share" / "terraform" / "plugins",
        tmp_path / "xdg" / "terraform" / "plugins",
        tmp_path / "usr" / "local" / "share" / "terraform" / "plugins",
        tmp_path / "usr" / "share" / "terraform" / "plugins",
        tmp_path / "cache",
        tmp_path / "opt" / "mirror",
    } <= set(roots)
