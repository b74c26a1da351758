"""What the grammar can't say: functions and their arguments, names in scope, the order of commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.localcloud.insights import nodes
from harness.localcloud.insights.aggregates import AGGREGATES
from harness.localcloud.insights.errors import malformed_query
from harness.localcloud.insights.functions import FUNCTIONS
from harness.localcloud.insights.values import Period

# "You can use as many as two stats commands in a single query."
_MAX_STATS = 2
_TIMESTAMP = nodes.Field("@timestamp")


def make_call(name: str, arguments: tuple[nodes.Expression, ...], start: int, end: int) -> nodes.Expression:
    """A function's call, once its name and the number and kind of its arguments are right.

    Raises:
        ApiError: MalformedQueryException.
    """
    key = name.lower()
    if key == "bin":
        if len(arguments) != 1 or not _is_period(arguments[0]):
            raise malformed_query("bin takes one period such as 5m", start, end)
        return nodes.Call("datefloor", (_TIMESTAMP, arguments[0]))
    if key in AGGREGATES:
        takes = AGGREGATES[key].arguments
        if len(arguments) != takes and not (key == "count" and not arguments):
            raise malformed_query(f"{name} takes {takes} arguments, not {len(arguments)}", start, end)
        if any(_is_period(argument) for argument in arguments):
            raise malformed_query(f"{name} takes no period", start, end)
        if takes == 2:
            _check_percent(arguments[1], start, end)
        return nodes.Call(key, arguments)
    if key == "now":
        if arguments:
            raise malformed_query("now takes no arguments", start, end)
        return nodes.Call(key, ())
    function = FUNCTIONS.get(key)
    if function is None:
        raise malformed_query(f"the function '{name}' is unknown, or not one that the local cloud runs", start, end)
    if len(arguments) < function.least or (function.most is not None and len(arguments) > function.most):
        count = f"{function.least} to {function.most}" if function.most else f"at least {function.least}"
        raise malformed_query(f"{name} takes {count} arguments, not {len(arguments)}", start, end)
    for position, argument in enumerate(arguments):
        if _is_period(argument) != (position in function.periods):
            kind = "a value, not a period" if _is_period(argument) else "a period such as 5m"
            raise malformed_query(f"argument {position + 1} of {name} must be {kind}", start, end)
    return nodes.Call(key, arguments)


def check_query(query: nodes.Query) -> None:
    """Check a whole query.

    Raises:
        ApiError: MalformedQueryException.
    """
    scope = _Scope()
    previous: nodes.Command | None = None
    for command in query.commands:
        if isinstance(previous, nodes.Dedup) and not isinstance(command, nodes.Limit):
            raise malformed_query("the only command after dedup is limit", previous.start, previous.start + 5)
        scope.check(command)
        previous = previous if isinstance(previous, nodes.Dedup) else command


class _Scope:
    """The names that commands define and may use, in the order of the query."""

    def __init__(self) -> None:
        self._defined: set[str] = set()
        self._results: set[str] | None = None  # after stats: the only names that there are
        self._stats = 0

    def check(self, command: nodes.Command) -> None:
        match command:
            case nodes.Fields(columns):
                for column in columns:
                    self._scalar(column.expression, column.start)
                    self._use(column.expression)
                self._define(columns)
            case nodes.Filter(condition):
                self._scalar(condition, 0)
                self._use(condition)
                _check_condition(condition)
            case nodes.ParseGlob() | nodes.ParseRegex():
                self._use(command.source)
                for name in command.names:
                    self._define_name(name, command.start)
            case nodes.Stats():
                self._check_stats(command)
            case nodes.Sort(keys):
                for field, _ in keys:
                    self._use(field)
            case nodes.Display(fields) | nodes.Dedup(fields, _):
                for field in fields:
                    self._use(field)
            case nodes.Limit():
                pass

    def _check_stats(self, stats: nodes.Stats) -> None:
        self._stats += 1
        if self._stats > _MAX_STATS:
            raise malformed_query(f"a query has at most {_MAX_STATS} stats commands", stats.start, stats.start + 5)
        for column in stats.columns:
            calls = list(aggregate_calls(column.expression))
            inner = {id(part) for call in calls for part in _walk(call)}
            loose = [
                part for part in _walk(column.expression) if isinstance(part, nodes.Field) and id(part) not in inner
            ]
            if not calls or loose:
                raise malformed_query(
                    "expected an aggregation function such as count(*) or avg(field)", *_place(column)
                )
            if any(True for call in calls for part in call.arguments for _ in aggregate_calls(part)):
                raise malformed_query("an aggregation function can't contain another", *_place(column))
            if self._results is not None and any(AGGREGATES[call.name].by_time for call in calls):
                raise malformed_query("after stats there is no @timestamp to order by", *_place(column))
            self._use(column.expression)
        for column in stats.by:
            self._scalar(column.expression, column.start)
            self._use(column.expression)
        names = [column.name for column in (*stats.by, *stats.columns)]
        for column in (*stats.by, *stats.columns):
            if names.count(column.name) > 1:
                raise malformed_query(f"Ephemeral field is already defined: {column.name}", *_place(column))
        self._results = set(names)

    def _use(self, expression: nodes.Expression) -> None:
        if self._results is None:
            return
        for part in _walk(expression):
            if isinstance(part, nodes.Field) and part.name not in self._results:
                raise malformed_query(
                    f"Unknown symbols found in or after stats: {part.name}", part.start, part.start + len(part.name)
                )

    def _define(self, columns: Iterable[nodes.Column]) -> None:
        for column in columns:
            if column.computed:
                self._define_name(column.name, column.start)

    def _define_name(self, name: str, start: int) -> None:
        if name in self._defined:
            raise malformed_query(f"Ephemeral field is already defined: {name}", start, start + len(name))
        self._defined.add(name)
        if self._results is not None:
            self._results.add(name)

    def _scalar(self, expression: nodes.Expression, start: int) -> None:
        for call in aggregate_calls(expression):
            raise malformed_query(f"{call.name} is an aggregation function: only stats takes it", start, start)


def aggregate_calls(expression: nodes.Expression) -> Iterator[nodes.Call]:
    """Every call of an aggregation function in an expression."""
    return (part for part in _walk(expression) if isinstance(part, nodes.Call) and part.name in AGGREGATES)


def _walk(expression: nodes.Expression) -> Iterator[nodes.Expression]:
    yield expression
    for part in _parts(expression):
        yield from _walk(part)


def _parts(expression: nodes.Expression) -> tuple[nodes.Expression, ...]:
    match expression:
        case nodes.Call(_, arguments):
            return arguments
        case nodes.Arithmetic(left, rest):
            return (left, *(operand for _, operand in rest))
        case nodes.Comparison(_, left, right):
            return (left, right)
        case nodes.Match(operand, _):
            return (operand,)
        case nodes.Membership(operand, options):
            return (operand, *options)
        case nodes.Not(condition):
            return (condition,)
        case nodes.Junction(_, conditions):
            return conditions
    return ()


def _check_condition(expression: nodes.Expression) -> None:
    match expression:
        case nodes.Comparison() | nodes.Match() | nodes.Membership():
            return
        case nodes.Not(condition):
            _check_condition(condition)
        case nodes.Junction(_, conditions):
            for condition in conditions:
                _check_condition(condition)
        case nodes.Call(name, _) if name in FUNCTIONS and FUNCTIONS[name].condition:
            return
        case nodes.Field(name, start):
            raise malformed_query(
                f"expected a condition, found the field '{name}': compare it, or use ispresent",
                start,
                start + len(name),
            )
        case _:
            raise malformed_query("expected a condition such as a = b, a like /b/ or ispresent(a)", 0, 0)


def _check_percent(expression: nodes.Expression, start: int, end: int) -> None:
    value = expression.value if isinstance(expression, nodes.Literal) else None
    if not isinstance(value, int | float) or not 0 <= value <= 100:
        raise malformed_query("pct takes a percentage from 0 to 100 as its second argument", start, end)


def _is_period(expression: nodes.Expression) -> bool:
    return isinstance(expression, nodes.Literal) and isinstance(expression.value, Period)


def _place(column: nodes.Column) -> tuple[int, int]:
    return column.start, column.start + len(column.name)
