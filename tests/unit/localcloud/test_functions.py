"""A reference resolves to the code and configuration it was published with."""

from __future__ import annotations

import pytest

from harness.localcloud.api import ApiError, DurableConfig
from harness.localcloud.functions import FunctionRegistry

from .conftest import Lab, make_zip


def _code(lab: Lab, reference: str, qualifier: str | None = None) -> str:
    return (lab.cloud.registry.resolve(reference, qualifier).code_directory / "app.py").read_text()


def test_a_version_keeps_what_it_was_published_with(lab: Lab) -> None:
    name = lab.function("first", Publish=True, Timeout=10, Environment={"Variables": {"A": "1"}})
    lab.functions.update_function_code(FunctionName=name, ZipFile=make_zip({"app.py": "second"}))
    lab.functions.update_function_configuration(
        FunctionName=name, Timeout=20, Environment={"Variables": {"A": "2"}}, LoggingConfig={"LogFormat": "JSON"}
    )
    assert lab.functions.publish_version(FunctionName=name)["Version"] == "2"
    lab.functions.update_function_code(FunctionName=name, ZipFile=make_zip({"app.py": "third"}))
    assert [_code(lab, name, version) for version in ("1", "2", "$LATEST")] == ["first", "second", "third"]
    first, second = lab.cloud.registry.resolve(name, "1"), lab.cloud.registry.resolve(name, "2")
    assert (first.timeout, first.environment, first.log_format) == (10, {"A": "1"}, "Text")
    assert (second.timeout, second.environment, second.log_format) == (20, {"A": "2"}, "JSON")


def test_code_and_version_can_be_updated_in_one_call(lab: Lab) -> None:
    name = lab.function("first", Publish=True)
    updated = lab.functions.update_function_code(
        FunctionName=name, ZipFile=make_zip({"app.py": "second"}), Publish=True
    )
    assert updated["Version"] == "2"
    assert [_code(lab, name, version) for version in ("1", "2")] == ["first", "second"]


def test_durable_config_is_versioned(lab: Lab) -> None:
    name = lab.function(Publish=True, DurableConfig={"ExecutionTimeout": 100})
    lab.functions.update_function_configuration(FunctionName=name, DurableConfig={"ExecutionTimeout": 200})
    assert lab.cloud.registry.resolve(name, "1").durable == DurableConfig(100, 14)
    assert lab.cloud.registry.resolve(name, "$LATEST").durable == DurableConfig(200, 14)


def test_an_alias_follows_its_version(lab: Lab) -> None:
    name = lab.function("first", Publish=True)
    lab.functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    lab.functions.update_function_code(FunctionName=name, ZipFile=make_zip({"app.py": "second"}), Publish=True)
    assert _code(lab, f"{name}:live") == "first"
    lab.functions.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    resolved = lab.cloud.registry.resolve(f"{name}:live")
    assert (resolved.version, resolved.qualifier) == ("2", "live")
    assert resolved.invoked_arn == f"{resolved.arn}:live"


@pytest.mark.parametrize(("drawn", "version"), [(0.0, "2"), (0.29, "2"), (0.31, "1"), (0.99, "1")])
def test_an_alias_shares_traffic_by_its_weights(lab: Lab, drawn: float, version: str) -> None:
    name = lab.function("first", Publish=True)
    lab.functions.update_function_code(FunctionName=name, ZipFile=make_zip({"app.py": "second"}), Publish=True)
    routing = {"AdditionalVersionWeights": {"2": 0.3}}
    lab.functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1", RoutingConfig=routing)
    registry = FunctionRegistry(lab.cloud.registry._moto, lab.cloud.registry._store, draw=lambda: drawn)
    assert registry.resolve(name, "live").version == version


def test_every_form_of_reference_finds_the_function(lab: Lab) -> None:
    name = lab.function(Publish=True)
    resolve = lab.cloud.registry.resolve
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
    for reference in (name, arn, f"123456789012:function:{name}"):
        assert resolve(reference).arn == arn
        assert resolve(f"{reference}:1").version == "1"
        assert resolve(reference, "1").invoked_arn == f"{arn}:1"


def test_functions_of_other_regions_are_found_by_arn(lab: Lab) -> None:
    elsewhere = lab.client("lambda", "eu-west-1")
    elsewhere.create_function(
        FunctionName="elsewhere",
        Role=lab.role(),
        Handler="app.handler",
        Runtime="python3.13",
        Code={"ZipFile": make_zip({"app.py": "there"})},
    )
    assert _code(lab, "arn:aws:lambda:eu-west-1:123456789012:function:elsewhere") == "there"
    with pytest.raises(ApiError, match="ResourceNotFoundException"):
        lab.cloud.registry.resolve("elsewhere")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nobody", "Function not found: arn:aws:lambda:us-east-1:123456789012:function:nobody"),
        ("{}:7", "Function not found: arn:aws:lambda:us-east-1:123456789012:function:{}:7"),
        ("{}:live", "Cannot find alias arn: arn:aws:lambda:us-east-1:123456789012:function:{}:live"),
        ("arn:aws:lambda:us-east-1:999999999999:function:{}", "Function not found: arn:aws:lambda:us-east-1:9999"),
    ],
)
def test_what_is_not_there_is_named_by_its_arn(lab: Lab, reference: str, message: str) -> None:
    name = lab.function()
    with pytest.raises(ApiError) as caught:
        lab.cloud.registry.resolve(reference.format(name))
    assert (caught.value.code, caught.value.status) == ("ResourceNotFoundException", 404)
    assert caught.value.message.startswith(message.format(name))


def test_layers_are_unpacked_and_outlive_their_deletion(lab: Lab) -> None:
    layer = lab.functions.publish_layer_version(
        LayerName="tools", Content={"ZipFile": make_zip({"python/tool.py": "layered"})}
    )
    name = lab.function(Layers=[layer["LayerVersionArn"]])
    lab.functions.delete_layer_version(LayerName="tools", VersionNumber=layer["Version"])
    (folder,) = lab.cloud.registry.resolve(name).layer_directories
    assert (folder / "python" / "tool.py").read_text() == "layered"


def test_a_deleted_functions_name_starts_afresh(lab: Lab) -> None:
    name = lab.function("first", Publish=True)
    lab.functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    lab.functions.delete_function(FunctionName=name)
    lab.function("again", FunctionName=name)
    assert _code(lab, name) == "again"
    for reference in (f"{name}:1", f"{name}:live"):
        with pytest.raises(ApiError, match="ResourceNotFoundException"):
            lab.cloud.registry.resolve(reference)
