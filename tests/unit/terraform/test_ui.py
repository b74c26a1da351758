import json

from harness.events import DiagnosticReported, Event, EventBus, ResourceProgress
from harness.terraform.redact import Redactor
from harness.terraform.ui import UiReader


def reader(*secrets: str) -> tuple[UiReader, list[Event]]:
    bus = EventBus()
    events: list[Event] = []
    bus.subscribe(events.append)
    return UiReader(bus, "ws", "ex", Redactor(secrets)), events


def message(kind: str, **fields: object) -> str:
    return json.dumps({"type": kind, **fields})


def test_each_resources_progress_becomes_an_event() -> None:
    ui, events = reader()
    resource = {"addr": "aws_sqs_queue.q"}
    ui.line(message("apply_start", hook={"resource": resource, "action": "create"}))
    ui.line(message("apply_complete", hook={"resource": resource, "action": "create", "elapsed_seconds": 25}))
    assert [(e.address, e.action, e.status, e.seconds) for e in events if isinstance(e, ResourceProgress)] == [
        ("aws_sqs_queue.q", "create", "started", 0.0),
        ("aws_sqs_queue.q", "create", "complete", 25.0),
    ]


def test_a_diagnostic_carries_address_and_place_without_secrets() -> None:
    ui, events = reader("hunter22")
    ui.line(
        message(
            "diagnostic",
            diagnostic={
                "severity": "error",
                "summary": "bad hunter22",
                "detail": "because\n  hunter22",
                "address": "aws_iam_role.r",
                "range": {"filename": "main.tf", "start": {"line": 7}},
                "snippet": {"code": "hunter22"},
            },
        )
    )
    (diagnostic,) = ui.errors
    assert str(diagnostic) == "bad (redacted): because (redacted) [aws_iam_role.r, main.tf:7]"
    (event,) = events
    assert isinstance(event, DiagnosticReported)
    assert "hunter22" not in repr(event)


def test_warnings_are_no_errors() -> None:
    ui, _ = reader()
    ui.line(message("diagnostic", diagnostic={"severity": "warning", "summary": "old"}))
    assert ui.errors == []
    assert [d.summary for d in ui.diagnostics] == ["old"]


def test_lines_that_are_no_messages_are_passed_over() -> None:
    ui, events = reader()
    for line in ("", "not json", "[1]", '"text"', "{}", message("brand_new_kind")):
        ui.line(line)
    assert events == []
