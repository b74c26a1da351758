import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.errors import ConfigurationError
from harness.terraform.hcl import cut_dynamic_blocks, read_module

ROOT = """
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.25"
      configuration_aliases = [aws.other]
    }
  }
  backend "s3" {}
}

variable "name_suffix" { type = string }
variable "password" {
  type      = string
  sensitive = true
  default   = ""
}

module "function" {
  source = "../modules/x"
}
module "remote" {
  source = "terraform-aws-modules/lambda/aws"
}

output "token" {
  value     = "t"
  sensitive = true
}
output "plain" { value = "p" }
"""


def module_of(tmp_path: Path, text: str, name: str = "main.tf") -> Path:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def often_switched() -> Iterator[None]:
    """Threads take turns so often that what they share without a lock breaks in every run."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def test_reads_what_a_root_module_declares(tmp_path: Path) -> None:
    module = read_module(module_of(tmp_path, ROOT))

    assert {name: (v.sensitive, v.required) for name, v in module.variables.items()} == {
        "name_suffix": (False, True),
        "password": (True, False),
    }
    assert module.outputs == {"token": True, "plain": False}
    aws = module.providers["aws"]
    assert (aws.source, aws.version, aws.configuration_aliases) == ("hashicorp/aws", ">= 6.25", "[aws.other]")
    assert module.backend == "s3"
    assert module.local_calls == ("../modules/x",)


def test_a_plain_durable_block_keeps_its_expressions(tmp_path: Path) -> None:
    text = """
resource "aws_lambda_function" "this" {
  tags = merge(var.tags, { Name = "${var.name}-x" })
  durable_config {
    execution_timeout = var.hours * 3600
    retention_period  = 14
  }
}
"""
    (block,) = read_module(module_of(tmp_path, text)).durable_functions

    assert block.resource == "this"
    assert block.arguments == {"execution_timeout": "var.hours * 3600", "retention_period": "14"}
    assert block.tags == 'merge(var.tags, {Name = "${var.name}-x"})'
    assert block.for_each is None


def test_a_dynamic_durable_block_is_found_with_its_iterator(tmp_path: Path) -> None:
    text = """
resource "aws_lambda_function" "this" {
  dynamic "durable_config" {
    for_each = var.durable[*]
    iterator = item
    content {
      execution_timeout = item.value.timeout
    }
  }
}
"""
    (block,) = read_module(module_of(tmp_path, text)).durable_functions

    assert (block.for_each, block.iterator) == ("var.durable[*]", "item")
    assert block.arguments == {"execution_timeout": "item.value.timeout"}


def test_a_function_without_durable_config_is_none(tmp_path: Path) -> None:
    text = 'resource "aws_lambda_function" "plain" {\n  handler = "a.b"\n}\n'
    assert read_module(module_of(tmp_path, text)).durable_functions == ()


def test_json_syntax_is_read_too(tmp_path: Path) -> None:
    text = """{"variable": {"name_suffix": {"type": "string"}, "secret": {"sensitive": true, "default": "x"}},
    "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws", "version": "~> 6.0"}}},
    "module": {"m": {"source": "./m"}}}"""
    module = read_module(module_of(tmp_path, text, "main.tf.json"))

    assert module.variables["name_suffix"].required
    assert module.variables["secret"].sensitive
    assert module.providers["aws"].version == "~> 6.0"
    assert module.local_calls == ("./m",)


def test_the_old_form_of_a_provider_requirement(tmp_path: Path) -> None:
    module = read_module(module_of(tmp_path, 'terraform {\n  required_providers {\n    aws = "~> 5.0"\n  }\n}\n'))
    assert (module.providers["aws"].source, module.providers["aws"].version) == ("hashicorp/aws", "~> 5.0")


def test_broken_hcl_names_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"main\.tf:3"):
        read_module(module_of(tmp_path, 'variable "a" {\n  type = string\n  default = \n}\n'))


def test_hcl_that_ends_too_early_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"main\.tf:\d"):
        read_module(module_of(tmp_path, 'variable "a" {\n  type = string\n'))


def test_bytes_that_are_no_text_are_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="can't be read as Terraform"):
        read_module(tmp_path)


def test_a_directory_without_terraform_files_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigurationError, match="no Terraform files") as caught:
        read_module(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_missing_directory_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such directory"):
        read_module(tmp_path / "nowhere")


def test_cutting_a_dynamic_block_keeps_the_line_numbers() -> None:
    text = 'a {\n  dynamic "durable_config" {\n    content {}\n  }\n  b = 1\n}\ndynamic "other" {}\n'
    cut = cut_dynamic_blocks(text)

    assert "durable_config" not in cut
    assert cut.splitlines()[4] == "  b = 1"
    assert 'dynamic "other" {}' in cut


def test_threads_read_modules_at_once(tmp_path: Path, often_switched: None) -> None:
    nested = 'locals { names = [for name in ["a", "b"] : upper("${name}-${lower(format("%s", name))}")] }'
    directory = module_of(tmp_path, ROOT + nested)
    alone = read_module(directory)

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: read_module(directory), range(32)))

    assert found == [alone] * 32
