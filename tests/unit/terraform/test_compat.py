from pathlib import Path

import hcl2

from harness.terraform.compat import OVERRIDE_FILE, apply_compat, override_text
from harness.terraform.hcl import read_module
from harness.terraform.stage import LOCK_FILE, stage

PINS = {"hashicorp/aws": "5.100.0"}

PROVIDERS = """
terraform {
  required_providers {
    amazon = {
      source  = "hashicorp/aws"
      version = ">= 6.25"
      configuration_aliases = [amazon.east]
    }
    random = {
      source = "hashicorp/random"
    }
  }
}
"""
STATIC = """
resource "aws_lambda_function" "this" {
  tags = { own = var.own }
  durable_config {
    execution_timeout = var.timeout
    retention_period  = 7
  }
}
"""
DYNAMIC = """
resource "aws_lambda_function" "this" {
  dynamic "durable_config" {
    for_each = var.durable[*]
    content {
      execution_timeout = durable_config.value.timeout
    }
  }
}
"""


def override_of(tmp_path: Path, text: str) -> str:
    (tmp_path / "main.tf").write_text(text, encoding="utf-8")
    return override_text(read_module(tmp_path), PINS)


def test_pins_the_provider_under_the_name_the_module_gave_it(tmp_path: Path) -> None:
    text = override_of(tmp_path, PROVIDERS)
    hcl2.loads(text)

    assert 'version = "5.100.0"' in text
    assert "amazon = {" in text
    assert "random" not in text


def test_what_an_override_would_drop_is_repeated(tmp_path: Path) -> None:
    assert "configuration_aliases = [amazon.east]" in override_of(tmp_path, PROVIDERS)


def test_the_durable_settings_become_tags_from_the_same_expressions(tmp_path: Path) -> None:
    text = override_of(tmp_path, STATIC)
    hcl2.loads(text)

    assert '"durable:execution-timeout" = var.timeout' in text
    assert '"durable:retention-period" = 7' in text


def test_the_functions_own_tags_stay(tmp_path: Path) -> None:
    assert "merge({own = var.own}," in override_of(tmp_path, STATIC)


def test_a_dynamic_block_becomes_tags_only_where_it_has_an_element(tmp_path: Path) -> None:
    text = override_of(tmp_path, DYNAMIC)
    hcl2.loads(text)

    assert "[for durable_config in [for k, v in (var.durable[*])" in text
    assert '"durable:execution-timeout" = durable_config.value.timeout' in text


def test_nothing_is_written_where_nothing_is_to_override(tmp_path: Path) -> None:
    assert override_of(tmp_path, 'variable "x" {}\n') == ""


def test_overrides_go_into_the_staged_root_and_its_modules_only(tmp_path: Path) -> None:
    root, module = tmp_path / "src" / "root", tmp_path / "src" / "modules" / "m"
    for folder in (root, module):
        folder.mkdir(parents=True)
    (root / "main.tf").write_text(PROVIDERS + 'module "m" {\n  source = "../modules/m"\n}\n')
    (root / LOCK_FILE).write_text("# pins another release")
    (module / "main.tf").write_text(DYNAMIC)

    staged = stage(root, tmp_path / "staged")
    written = apply_compat(staged, PINS)

    assert {path.relative_to(tmp_path / "staged").as_posix() for path in written} == {
        f"root/{OVERRIDE_FILE}",
        f"modules/m/{OVERRIDE_FILE}",
    }
    assert "dynamic" not in (tmp_path / "staged" / "modules" / "m" / "main.tf").read_text()
    assert not (staged.root / LOCK_FILE).exists()
    assert "dynamic" in (module / "main.tf").read_text()
    assert not (root / OVERRIDE_FILE).exists()
