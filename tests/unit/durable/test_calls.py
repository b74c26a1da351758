from __future__ import annotations

import io
import re
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from harness.durable import (
    CallbackClosedError,
    DurableError,
    ErrorInfo,
    ExecutionNameTakenError,
    ExecutionNotFoundError,
    FunctionNotFoundError,
    InvocationFailedError,
    NotDurableError,
    PayloadError,
    UnqualifiedInvokeError,
    get_execution,
    get_history,
    list_executions,
    send_callback_failure,
    send_callback_heartbeat,
    send_callback_success,
    start_execution,
    stop_execution,
)
from harness.errors import HarnessError
from harness.events import Event, EventBus, ExecutionStarted
from harness.waiters import THROTTLE, FakeClock, WaitTimeout
from tests.unit.durable.samples import ARN, EVENTS, NAME, NOT_FOUND, START, got, summary
from tests.unit.fakes_boto import FakeClient
from tests.unit.waiters.errors import client_error, throttle

ACCEPTED = {"StatusCode": 202, "DurableExecutionArn": ARN, "Payload": io.BytesIO()}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def fake(**script: list[Any]) -> Any:
    return FakeClient("lambda", **script)


class TestStart:
    def start(self, clock: FakeClock, *answers: Any, payload: object = None, **options: Any) -> Any:
        client = fake(invoke=list(answers))
        return client, start_execution(client, "orders", payload, policy=THROTTLE.with_clock(clock), **options)

    def test_it_invokes_the_alias_asynchronously_under_the_name(self, clock: FakeClock) -> None:
        client, started = self.start(clock, ACCEPTED, payload={"a": [1, None]}, name=NAME)
        assert client.requests("invoke") == [
            {
                "FunctionName": "orders",
                "Qualifier": "live",
                "InvocationType": "Event",
                "DurableExecutionName": NAME,
                "Payload": b'{"a":[1,null]}',
            }
        ]
        assert (started.arn, started.name, started.qualifier, started.payload) == (ARN, NAME, "live", None)

    @pytest.mark.parametrize("function", ["orders", "arn:aws:lambda:eu-west-1:123456789012:function:orders:live"])
    def test_without_a_name_it_makes_one_of_the_functions(self, clock: FakeClock, function: str) -> None:
        client = fake(invoke=[ACCEPTED])
        started = start_execution(client, function, 1, qualifier=None, policy=THROTTLE.with_clock(clock))
        assert re.fullmatch(r"test-orders-20260101T000000-[0-9a-f]{8}", started.name)

    def test_a_retry_repeats_name_and_payload_to_the_byte_so_that_nothing_starts_twice(self, clock: FakeClock) -> None:
        lost = ConnectionResetError("the answer was lost")
        client, _ = self.start(
            clock, throttle(), lost, client_error("ServiceException", 500), ACCEPTED, payload={"b": 1}
        )
        first, *repeated = client.requests("invoke")
        assert repeated == [first] * 3
        assert clock.sleeps == [5, 10, 20]

    def test_a_synchronous_start_gives_the_answer(self, clock: FakeClock) -> None:
        answer = {**ACCEPTED, "Payload": io.BytesIO(b'{"ok": true}')}
        _, started = self.start(clock, answer, invocation_type="RequestResponse")
        assert started.result == {"ok": True}
        assert "ok" not in repr(started)

    def test_a_synchronous_start_whose_body_breaks_off_is_repeated(self, clock: FakeClock) -> None:
        class Broken(io.BytesIO):
            def read(self, *_: object) -> bytes:
                raise ConnectionResetError

        answers = [{**ACCEPTED, "Payload": Broken()}, {**ACCEPTED, "Payload": io.BytesIO(b"7")}]
        _, started = self.start(clock, *answers, invocation_type="RequestResponse")
        assert started.result == 7

    def test_a_failed_synchronous_execution_is_an_execution_nevertheless(self, clock: FakeClock) -> None:
        answer = {**ACCEPTED, "FunctionError": "Unhandled", "Payload": io.BytesIO(b"{}")}
        _, started = self.start(clock, answer, invocation_type="RequestResponse")
        assert (started.arn, started.function_error) == (ARN, "Unhandled")

    def test_it_is_published_without_the_payload(self, clock: FakeClock) -> None:
        published: list[Event] = []
        bus = EventBus()
        bus.subscribe(published.append)
        self.start(clock, ACCEPTED, payload="hunter2", name=NAME, events=bus)
        (event,) = published
        assert isinstance(event, ExecutionStarted)
        assert (event.function_name, event.execution_name, event.arn) == ("orders", NAME, ARN)
        assert "hunter2" not in repr(event)

    @pytest.mark.parametrize(
        ("error", "expected", "hint"),
        [
            (
                client_error("DurableExecutionAlreadyStartedException", 409),
                ExecutionNameTakenError,
                "make_execution_id",
            ),
            (NOT_FOUND, FunctionNotFoundError, "function_name and alias_name"),
            (client_error("RequestTooLargeException", 413), PayloadError, "reference to what is larger"),
        ],
    )
    def test_a_refusal_says_what_to_do_and_keeps_the_original(
        self, clock: FakeClock, error: ClientError, expected: type[DurableError], hint: str
    ) -> None:
        with pytest.raises(expected, match=hint) as caught:
            self.start(clock, error, name=NAME)
        assert caught.value.__cause__ is error
        assert isinstance(caught.value, HarnessError)
        assert f"orders:live, execution {NAME}" in str(caught.value)
        assert clock.sleeps == []

    def test_an_unqualified_invoke_says_so(self, clock: FakeClock) -> None:
        error = client_error("InvalidParameterValueException", message="unqualified ARN")
        with pytest.raises(UnqualifiedInvokeError, match='qualifier="live"') as caught:
            self.start(clock, error, qualifier=None)
        assert caught.value.__cause__ is error

    def test_another_invalid_parameter_comes_out_as_it_is(self, clock: FakeClock) -> None:
        error = client_error("InvalidParameterValueException", message="something else")
        with pytest.raises(ClientError) as caught:
            self.start(clock, error)
        assert caught.value is error

    def test_a_function_that_is_not_durable_says_so(self, clock: FakeClock) -> None:
        with pytest.raises(NotDurableError, match="durable_config"):
            self.start(clock, {"StatusCode": 202, "Payload": io.BytesIO()})

    def test_an_invocation_that_never_became_an_execution_says_so(self, clock: FakeClock) -> None:
        answer = {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": io.BytesIO(b"{}")}
        with pytest.raises(InvocationFailedError, match="Unhandled"):
            self.start(clock, answer, invocation_type="RequestResponse")

    def test_a_payload_that_is_no_json_is_refused_before_any_call(self, clock: FakeClock) -> None:
        with pytest.raises(PayloadError, match="can't be written as JSON"):
            self.start(clock, payload={"when": START})

    def test_a_bad_name_is_refused_before_any_call(self, clock: FakeClock) -> None:
        with pytest.raises(ValueError, match="1-64 of"):
            self.start(clock, name="no good")

    def test_throttled_to_the_end_it_is_a_timeout(self, clock: FakeClock) -> None:
        with pytest.raises(WaitTimeout, match="the start of"):
            self.start(clock, throttle())
        assert clock.monotonic() == 300.0


class TestReading:
    def test_an_execution_with_its_data(self, clock: FakeClock) -> None:
        client = fake(get_durable_execution=[throttle(), got("SUCCEEDED", Result="3")])
        assert get_execution(client, ARN, policy=THROTTLE.with_clock(clock)).result == 3
        assert client.requests("get_durable_execution")[0] == {"DurableExecutionArn": ARN, "IncludeExecutionData": True}

    def test_not_found_is_told_at_once_unless_there_is_a_grace(self, clock: FakeClock) -> None:
        policy = THROTTLE.with_clock(clock)
        with pytest.raises(ExecutionNotFoundError, match="There is no such execution"):
            get_execution(fake(get_durable_execution=[NOT_FOUND]), ARN, policy=policy)
        assert clock.sleeps == []
        late = fake(get_durable_execution=[NOT_FOUND, NOT_FOUND, got("RUNNING")])
        assert get_execution(late, ARN, grace=30, policy=policy).status == "RUNNING"

    def test_the_grace_ends(self, clock: FakeClock) -> None:
        with pytest.raises(ExecutionNotFoundError):
            get_execution(fake(get_durable_execution=[NOT_FOUND]), ARN, grace=12, policy=THROTTLE.with_clock(clock))
        assert clock.monotonic() == 15.0

    def test_what_is_no_arn_is_told_as_such(self, clock: FakeClock) -> None:
        with pytest.raises(ExecutionNotFoundError, match="isn't the ARN of an execution"):
            get_execution(fake(get_durable_execution=[NOT_FOUND]), NAME, policy=THROTTLE.with_clock(clock))

    def test_a_history_is_read_page_by_page_each_retried(self, clock: FakeClock) -> None:
        client = fake(
            get_durable_execution_history=[
                {"Events": EVENTS[:6], "NextMarker": "m"},
                throttle(),
                {"Events": EVENTS[6:]},
            ]
        )
        assert len(get_history(client, ARN, policy=THROTTLE.with_clock(clock))) == len(EVENTS)
        requests = client.requests("get_durable_execution_history")
        assert [request.get("Marker") for request in requests] == [None, "m", "m"]
        assert requests[0]["MaxItems"] == 1000

    def test_pages_that_never_end_are_an_error(self, clock: FakeClock) -> None:
        client = fake(get_durable_execution_history=[{"Events": [], "NextMarker": "m"}])
        with pytest.raises(DurableError, match="the same page marker twice"):
            get_history(client, ARN, policy=THROTTLE.with_clock(clock))

    def test_executions_are_listed_with_the_filters_given(self, clock: FakeClock) -> None:
        client = fake(
            list_durable_executions_by_function=[
                {"DurableExecutions": [summary("RUNNING")], "NextMarker": "m"},
                {"DurableExecutions": [summary("FAILED")]},
            ]
        )
        found = list_executions(
            client, "orders", statuses=["RUNNING", "FAILED"], started_after=START, oldest_first=True,
            policy=THROTTLE.with_clock(clock),
        )  # fmt: skip
        assert [execution.status for execution in found] == ["RUNNING", "FAILED"]
        assert client.requests("list_durable_executions_by_function")[0] == {
            "FunctionName": "orders",
            "Statuses": ["RUNNING", "FAILED"],
            "StartedAfter": START,
            "ReverseOrder": True,
        }

    def test_a_limit_ends_the_listing_early(self, clock: FakeClock) -> None:
        page = {"DurableExecutions": [summary("RUNNING")] * 3, "NextMarker": "m"}
        client = fake(list_durable_executions_by_function=[page])
        assert len(list_executions(client, "orders", limit=2, policy=THROTTLE.with_clock(clock))) == 2
        assert client.requests("list_durable_executions_by_function") == [{"FunctionName": "orders", "MaxItems": 2}]

    def test_listing_an_unknown_function_says_so(self, clock: FakeClock) -> None:
        with pytest.raises(FunctionNotFoundError):
            list_executions(fake(list_durable_executions_by_function=[NOT_FOUND]), "orders")


class TestStop:
    def test_it_stops_and_says_when(self, clock: FakeClock) -> None:
        client = fake(stop_durable_execution=[throttle(), {"StopTimestamp": START}])
        policy = THROTTLE.with_clock(clock)
        assert stop_execution(client, ARN, ErrorInfo("Why", "because"), policy=policy) == START
        assert client.requests("stop_durable_execution")[1] == {
            "DurableExecutionArn": ARN,
            "Error": {"ErrorType": "Why", "ErrorMessage": "because"},
        }

    @pytest.mark.parametrize("code", ["InvalidParameterValueException", "ResourceConflictException"])
    def test_one_that_has_ended_is_left_as_it_is(self, clock: FakeClock, code: str) -> None:
        client = fake(stop_durable_execution=[client_error(code)], get_durable_execution=[got("SUCCEEDED")])
        assert stop_execution(client, ARN, policy=THROTTLE.with_clock(clock)) == START + timedelta(seconds=42)

    def test_a_refusal_for_one_that_runs_comes_out(self, clock: FakeClock) -> None:
        refusal = client_error("InvalidParameterValueException", message="odd")
        client = fake(stop_durable_execution=[refusal], get_durable_execution=[got("RUNNING")])
        with pytest.raises(ClientError) as caught:
            stop_execution(client, ARN, policy=THROTTLE.with_clock(clock))
        assert caught.value is refusal

    def test_an_unknown_one_says_so(self, clock: FakeClock) -> None:
        with pytest.raises(ExecutionNotFoundError):
            stop_execution(fake(stop_durable_execution=[NOT_FOUND]), ARN, policy=THROTTLE.with_clock(clock))


class TestCallbacks:
    @pytest.mark.parametrize(
        ("result", "sent"),
        [
            (None, b""),
            ("as it is", b"as it is"),
            (b"\x00raw", b"\x00raw"),
            ({"approved": True}, b'{"approved":true}'),
            (0, b"0"),
        ],
    )
    def test_a_result_is_sent_as_the_function_will_read_it(self, clock: FakeClock, result: object, sent: bytes) -> None:
        client = fake(send_durable_execution_callback_success=[throttle(), {}])
        send_callback_success(client, "Y2I=", result, policy=THROTTLE.with_clock(clock))
        expected = {"CallbackId": "Y2I=", "Result": sent}
        assert client.requests("send_durable_execution_callback_success") == [expected, expected]

    def test_a_result_that_is_too_large_is_refused_before_any_call(self) -> None:
        with pytest.raises(PayloadError, match="at most 1 MiB, this one has 1048577 bytes"):
            send_callback_success(fake(), "Y2I=", "x" * (1024 * 1024 + 1))

    def test_a_failure_has_an_error(self, clock: FakeClock) -> None:
        client = fake(send_durable_execution_callback_failure=[{}])
        send_callback_failure(client, "Y2I=", ErrorInfo("Rejected", "no"), policy=THROTTLE.with_clock(clock))
        assert client.requests("send_durable_execution_callback_failure") == [
            {"CallbackId": "Y2I=", "Error": {"ErrorType": "Rejected", "ErrorMessage": "no"}}
        ]

    def test_a_heartbeat_has_nothing(self, clock: FakeClock) -> None:
        client = fake(send_durable_execution_callback_heartbeat=[{}])
        send_callback_heartbeat(client, "Y2I=", policy=THROTTLE.with_clock(clock))
        assert client.requests("send_durable_execution_callback_heartbeat") == [{"CallbackId": "Y2I="}]

    @pytest.mark.parametrize("code", ["CallbackTimeoutException", "ResourceNotFoundException"])
    def test_one_that_is_closed_says_so(self, clock: FakeClock, code: str) -> None:
        client = fake(send_durable_execution_callback_success=[client_error(code)])
        with pytest.raises(CallbackClosedError, match=code) as caught:
            send_callback_success(client, "Y2I=", policy=THROTTLE.with_clock(clock))
        assert "earlier try" not in str(caught.value)

    def test_one_that_an_earlier_try_may_have_closed_says_that(self, clock: FakeClock) -> None:
        answers = [ConnectionResetError(), client_error("ResourceNotFoundException", 404)]
        client = fake(send_durable_execution_callback_success=answers)
        with pytest.raises(CallbackClosedError, match="an earlier try, whose answer was lost, may have been accepted"):
            send_callback_success(client, "Y2I=", policy=THROTTLE.with_clock(clock))
