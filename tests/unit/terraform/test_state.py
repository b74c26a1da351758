import json
from pathlib import Path

import pytest

from harness.errors import TerraformError
from harness.terraform.state import EMPTY, read_state

STATE = {
    "version": 4,
    "outputs": {"name": {"value": "f-1", "type": "string"}, "key": {"value": "s", "type": "string", "sensitive": True}},
    "resources": [
        {"mode": "data", "type": "aws_region", "name": "current", "instances": [{"attributes": {}}]},
        {
            "module": "module.m",
            "mode": "managed",
            "type": "aws_lambda_function",
            "name": "this",
            "instances": [
                {"index_key": 0, "attributes": {"function_name": "f-1"}},
                {"index_key": "b", "attributes": {"function_name": "f-2"}},
            ],
        },
        {"mode": "managed", "type": "aws_iam_role", "name": "r", "instances": [{"attributes": {"name": "r-1"}}]},
    ],
}


def test_outputs_come_with_the_sensitive_ones_named(tmp_path: Path) -> None:
    (tmp_path / "s").write_text(json.dumps(STATE))
    state = read_state(tmp_path / "s")
    assert state.outputs == {"name": "f-1", "key": "s"}
    assert state.sensitive == {"key"}


def test_managed_resources_come_with_their_addresses(tmp_path: Path) -> None:
    (tmp_path / "s").write_text(json.dumps(STATE))
    state = read_state(tmp_path / "s")
    assert [resource.address for resource in state.resources] == [
        "module.m.aws_lambda_function.this[0]",
        'module.m.aws_lambda_function.this["b"]',
        "aws_iam_role.r",
    ]
    assert state.names("aws_lambda_function", "function_name") == ("f-1", "f-2")


def test_no_state_and_an_empty_file_are_an_empty_state(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert read_state(tmp_path / "absent") is EMPTY
    assert read_state(tmp_path / "empty") is EMPTY


@pytest.mark.parametrize("text", [json.dumps(STATE)[:200], "[]", '{"version": 4, "outputs": {"a": {}}}'])
def test_a_state_that_is_cut_short_is_an_error_and_stays(tmp_path: Path, text: str) -> None:
    path = tmp_path / "terraform.tfstate"
    path.write_text(text)
    with pytest.raises(TerraformError, match="cut short") as caught:
        read_state(path)
    assert "terraform.tfstate.backup" in str(caught.value)
    assert path.read_text() == text


def test_an_unknown_format_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "s").write_text('{"version": 5}')
    with pytest.raises(TerraformError, match="format version 5"):
        read_state(tmp_path / "s")
