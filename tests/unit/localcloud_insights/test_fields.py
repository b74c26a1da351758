"""Which fields are discovered in a log event."""

from __future__ import annotations

import json

import pytest

from harness.localcloud.insights import LogEvent
from harness.localcloud.insights.fields import MAX_JSON_FIELDS, discover

REQUEST_ID = "5b1d2c9e-0a0b-4c0d-8e0f-000000000001"
LAMBDA = "/aws/lambda/orders"


def _discover(message: str, group: str = "/app") -> dict[str, object]:
    return dict(discover(LogEvent(group, "stream-1", 1000, 2500, message, "7", "111122223333")))


def test_every_event_has_the_system_fields() -> None:
    fields = _discover("text")

    assert fields.pop("@ptr")
    assert fields == {
        "@timestamp": 1000,
        "@ingestionTime": 2500,
        "@message": "text",
        "@logStream": "stream-1",
        "@log": "111122223333:/app",
    }


def test_json_messages_are_flattened_with_dots_and_indexes() -> None:
    fields = _discover(json.dumps({"a": {"b": [10, {"c": "x"}]}, "d": 1.5}))

    assert (fields["a.b.0"], fields["a.b.1.c"], fields["d"]) == (10, "x", 1.5)
    assert "a" not in fields


def test_json_booleans_are_1_and_0_and_null_is_missing() -> None:
    fields = _discover('{"t": true, "f": false, "n": null}')

    assert (fields["t"], fields["f"]) == (1, 0)
    assert "n" not in fields


def test_a_json_key_that_starts_with_an_at_sign_gets_another_and_hides_no_system_field() -> None:
    fields = _discover('{"@message": "mine"}')

    assert fields["@@message"] == "mine"
    assert fields["@message"] == '{"@message": "mine"}'


def test_at_most_200_fields_of_a_json_message_are_discovered() -> None:
    fields = _discover(json.dumps({f"k{number}": number for number in range(MAX_JSON_FIELDS + 50)}))

    assert "k199" in fields
    assert "k200" not in fields


@pytest.mark.parametrize("message", ['x {"a": 1}', '{"a": 1} x', '["a"]', '{"a": ', "{" * 5000, '{"a":' * 5000])
def test_other_messages_have_no_fields_of_their_own(message: str) -> None:
    assert not [name for name in _discover(message) if not name.startswith("@")]


def test_numbers_of_thousands_of_digits_do_no_harm() -> None:
    assert "a" not in _discover('{"a": ' + "1" * 5000 + "}")


def test_lambda_text_lines_give_up_their_first_json_object() -> None:
    fields = _discover('[INFO] {not json} {"order": {"id": 7}} {"order": 8}', LAMBDA)

    assert fields["order.id"] == 7


def test_a_report_line_has_its_figures_in_milliseconds_and_bytes() -> None:
    fields = _discover(
        f"REPORT RequestId: {REQUEST_ID}\tDuration: 12.50 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 40 MB\tInit Duration: 90.25 ms\t\n",
        LAMBDA,
    )

    assert fields["@type"] == "REPORT"
    assert fields["@requestId"] == REQUEST_ID
    assert fields["@duration"] == 12.5
    assert fields["@billedDuration"] == 13
    assert fields["@initDuration"] == 90.25
    assert fields["@memorySize"] == 128_000_000
    assert fields["@maxMemoryUsed"] == 40_000_000


@pytest.mark.parametrize(
    ("line", "kind"),
    [(f"START RequestId: {REQUEST_ID} Version: $LATEST", "START"), (f"END RequestId: {REQUEST_ID}\n", "END")],
)
def test_start_and_end_lines_have_type_and_request_id(line: str, kind: str) -> None:
    fields = _discover(line, LAMBDA)

    assert (fields["@type"], fields["@requestId"]) == (kind, REQUEST_ID)


def test_application_lines_of_the_text_format_have_the_request_id() -> None:
    fields = _discover(f"[INFO]\t2023-11-14T22:13:20.000Z\t{REQUEST_ID}\tstored", LAMBDA)

    assert fields["@requestId"] == REQUEST_ID
    assert "@type" not in fields


def test_lambda_fields_are_discovered_in_lambda_groups_alone() -> None:
    assert "@requestId" not in _discover(f"END RequestId: {REQUEST_ID}")
