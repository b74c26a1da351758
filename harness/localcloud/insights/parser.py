"""From a query's text to its commands.

The language, case-insensitive in its keywords:

- ``fields``, ``display``, ``filter``, ``parse`` (glob, or regular expression with named groups), ``stats ... by``,
  ``sort``, ``limit``, ``dedup``; ``#`` starts a comment.
- ``= != < <= > >=``, ``like``, ``not like`` and ``=~`` with ``/re/`` or a text, ``in [...]``, ``not in [...]``,
  ``and``, ``or``, ``not``, parentheses, ``+ - * / % ^``.
- The functions of `harness.localcloud.insights.functions`; in ``stats`` those of
  `harness.localcloud.insights.aggregates`.

Everything else is a MalformedQueryException with the place and what was expected there.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
"""

from __future__ import annotations

from functools import cache
from typing import Any

import regex
from lark import Lark, Token, Tree, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError
from lark.tree import Meta
from lark.visitors import Transformer_NonRecursive

from harness.localcloud.insights import nodes
from harness.localcloud.insights.check import check_query, make_call
from harness.localcloud.insights.errors import malformed_query
from harness.localcloud.insights.values import Period, to_number

MAX_QUERY_LENGTH = 10_000
MAX_LIMIT = 100_000
MAX_DEPTH = 60

_MESSAGE = nodes.Field("@message")

# Commands that the service has and the local cloud doesn't, for an error that says so.
_UNSUPPORTED = frozenset(
    {"anomaly", "diff", "filterindex", "head", "join", "lookup", "order"}
    | {"pattern", "search", "source", "tail", "unmask", "unnest", "where"}
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\"}
_TERMINALS = {
    "NAME": "a field name",
    "QUOTED_NAME": "a `quoted` field name",
    "NUMBER": "a number",
    "STRING": "a 'string'",
    "REGEX": "a /regular expression/",
    "PERIOD": "a period such as 5m",
    "COMPARE": "a comparison",
    "_MATCHES": "=~",
    "$END": "the end of the query",
}


def parse_query(text: str) -> nodes.Query:
    """Parse and check a query.

    Raises:
        ApiError: MalformedQueryException, with the offsets of what is wrong.
    """
    if len(text) > MAX_QUERY_LENGTH:
        raise malformed_query(f"the query is longer than {MAX_QUERY_LENGTH} characters", MAX_QUERY_LENGTH, len(text))
    try:
        tree = _lark().parse(text)
    except UnexpectedInput as error:
        raise _syntax_error(text, error) from None
    _check_depth(tree)
    try:
        query: nodes.Query = _Builder(text).transform(tree)
    except VisitError as error:
        raise error.orig_exc from None
    check_query(query)
    return query


@cache
def _lark() -> Lark:
    return Lark.open_from_package(
        __package__,
        "grammar.lark",
        parser="lalr",
        start="query",
        propagate_positions=True,
        maybe_placeholders=True,
    )


def _syntax_error(text: str, error: UnexpectedInput) -> Exception:
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        start, end, found = len(text), len(text), "end of query"
    elif isinstance(error, UnexpectedToken):
        start = error.token.start_pos or 0
        end, found = start + len(error.token), f"symbol '{error.token}'"
    else:
        # lark annotates this attribute, and `accepts` below, as None.
        start = getattr(error, "pos_in_stream", None) or 0
        end, found = start + 1, f"symbol '{text[start : start + 1]}'"
    line = text.count("\n", 0, start) + 1
    position = start - (text.rfind("\n", 0, start) + 1) + 1
    where = f"unexpected {found} found at line {line} and position {position}"
    word = text[start:].split(None, 1)[0].lower() if text[start:].strip() else ""
    accepted = _accepted(error)
    if word in _UNSUPPORTED and "_FIELDS" in accepted:
        return malformed_query(f"{where}: the local cloud doesn't run the command '{word}'", start, start + len(word))
    return malformed_query(f"{where}: expected {_describe(accepted)}", start, end)


def _accepted(error: UnexpectedInput) -> set[str]:
    if isinstance(error, UnexpectedToken):
        return set(getattr(error, "accepts", None) or error.expected)
    if isinstance(error, UnexpectedCharacters):
        return set(error.allowed or ())
    return set()


def _describe(terminals: set[str]) -> str:
    names = []
    for terminal in terminals - {"COMMENT", "WS"}:
        if terminal in _TERMINALS:
            names.append(_TERMINALS[terminal])
        elif not terminal.startswith("__"):
            definition = _lark().get_terminal(terminal)
            names.append(f"'{definition.pattern.value}'")
    return " or ".join(sorted(names)) or "another symbol"


def _check_depth(tree: Tree[Token]) -> None:
    level = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in node.children if isinstance(child, Tree)]
        if not level:
            return
    meta = level[0].meta
    # A rule that matched nothing has no place of its own.
    start, end = getattr(meta, "start_pos", 0), getattr(meta, "end_pos", 0)
    raise malformed_query(f"the query nests deeper than {MAX_DEPTH} levels", start, end)


@v_args(inline=True)
class _Builder(Transformer_NonRecursive[Token, nodes.Query]):
    """Builds the commands of a parse tree, bottom up."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def query(self, *commands: nodes.Command) -> nodes.Query:
        return nodes.Query(commands)

    def fields(self, *columns: nodes.Column) -> nodes.Fields:
        return nodes.Fields(columns)

    def display(self, *names: nodes.Field) -> nodes.Display:
        return nodes.Display(names)

    def filter(self, condition: nodes.Expression) -> nodes.Filter:
        return nodes.Filter(condition)

    def parse_glob(self, source: nodes.Field | None, glob: Token, names: tuple[nodes.Field, ...]) -> nodes.ParseGlob:
        parts = tuple(_unquote(glob).split("*"))
        if len(parts) != len(names) + 1:
            raise malformed_query(
                f"the glob has {len(parts) - 1} wildcards for {len(names)} names after 'as'; one each is needed",
                *_span(glob),
            )
        return nodes.ParseGlob(source or _MESSAGE, parts, tuple(name.name for name in names), _span(glob)[0])

    def parse_regex(
        self, source: nodes.Field | None, pattern: Token, names: tuple[nodes.Field, ...] | None
    ) -> nodes.ParseRegex:
        compiled = _compile(pattern)
        groups = sorted(compiled.groupindex, key=compiled.groupindex.__getitem__)
        if names:
            raise malformed_query(
                "a regular expression names its fields itself, as in (?<name>...); 'as' belongs to globs",
                *_span(pattern),
            )
        if not groups:
            raise malformed_query("the regular expression has no named group such as (?<name>...)", *_span(pattern))
        return nodes.ParseRegex(source or _MESSAGE, compiled, tuple(groups), _span(pattern)[0])

    @v_args(inline=False, meta=True)
    def stats(self, meta: Meta, children: list[Any]) -> nodes.Stats:
        columns, by = children
        return nodes.Stats(columns, by or (), meta.start_pos)

    def sort(self, *keys: tuple[nodes.Field, bool]) -> nodes.Sort:
        return nodes.Sort(keys)

    def limit(self, count: Token) -> nodes.Limit:
        number = to_number(str(count))
        if not isinstance(number, int) or not 1 <= number <= MAX_LIMIT:
            raise malformed_query(f"limit must be a whole number from 1 to {MAX_LIMIT}", *_span(count))
        return nodes.Limit(number)

    @v_args(inline=False, meta=True)
    def dedup(self, meta: Meta, names: list[nodes.Field]) -> nodes.Dedup:
        return nodes.Dedup(tuple(names), meta.start_pos)

    def columns(self, *columns: nodes.Column) -> tuple[nodes.Column, ...]:
        return columns

    def column(self, spanned: tuple[nodes.Expression, int, int], alias: nodes.Field | None) -> nodes.Column:
        expression, start, end = spanned
        if alias is not None:
            return nodes.Column(expression, alias.name, True, start)
        if isinstance(expression, nodes.Field):
            return nodes.Column(expression, expression.name, False, start)
        return nodes.Column(expression, self._text[start:end], True, start)

    @v_args(inline=False, meta=True)
    def spanned(self, meta: Meta, children: list[nodes.Expression]) -> tuple[nodes.Expression, int, int]:
        return children[0], meta.start_pos, meta.end_pos

    def aliases(self, *names: nodes.Field) -> tuple[nodes.Field, ...]:
        return names

    def sort_key(self, name: nodes.Field, direction: Token | None) -> tuple[nodes.Field, bool]:
        return name, direction is not None and direction.type == "DESC"

    def name(self, token: Token) -> nodes.Field:
        return self.quoted_field(token) if token.type == "QUOTED_NAME" else self.field(token)

    def field(self, token: Token) -> nodes.Field:
        return nodes.Field(str(token), _span(token)[0])

    def quoted_field(self, token: Token) -> nodes.Field:
        return nodes.Field(str(token)[1:-1], _span(token)[0])

    def number(self, token: Token) -> nodes.Literal:
        number = to_number(str(token))
        if number is None:
            raise malformed_query("the number is too large", *_span(token))
        return nodes.Literal(number)

    def string(self, token: Token) -> nodes.Literal:
        return nodes.Literal(_unquote(token))

    def period(self, token: Token) -> nodes.Literal:
        try:
            return nodes.Literal(Period.parse(str(token)))
        except ValueError as error:
            raise malformed_query(str(error), *_span(token)) from None

    def group(self, inner: nodes.Expression) -> nodes.Expression:
        return inner

    def call(self, name: Token, *arguments: nodes.Expression | None) -> nodes.Expression:
        return make_call(str(name), tuple(item for item in arguments if item is not None), *_span(name))

    def call_star(self, name: Token, _star: Token) -> nodes.Expression:
        if name.lower() != "count":
            raise malformed_query(f"only count takes *, not {name}", *_span(name))
        return nodes.Call("count", ())

    def negative(self, _minus: Token, operand: nodes.Expression) -> nodes.Expression:
        return nodes.Arithmetic(nodes.Literal(0), (("-", operand),))

    def addition(self, left: nodes.Expression, *rest: Any) -> nodes.Expression:
        pairs = zip(rest[::2], rest[1::2], strict=True)
        return nodes.Arithmetic(left, tuple((str(operator), operand) for operator, operand in pairs))

    multiplication = addition
    exponentiation = addition

    def compare(self, left: nodes.Expression, operator: Token, right: nodes.Expression) -> nodes.Comparison:
        return nodes.Comparison(str(operator), left, right)

    def like(self, operand: nodes.Expression, pattern: Token) -> nodes.Match:
        return nodes.Match(operand, _compile(pattern) if pattern.type == "REGEX" else _unquote(pattern))

    def not_like(self, operand: nodes.Expression, pattern: Token) -> nodes.Not:
        return nodes.Not(self.like(operand, pattern))

    def member(self, operand: nodes.Expression, *options: nodes.Expression) -> nodes.Membership:
        return nodes.Membership(operand, options)

    def not_member(self, operand: nodes.Expression, *options: nodes.Expression) -> nodes.Not:
        return nodes.Not(self.member(operand, *options))

    def negation(self, condition: nodes.Expression) -> nodes.Not:
        return nodes.Not(condition)

    def and_condition(self, *conditions: nodes.Expression) -> nodes.Junction:
        return nodes.Junction(True, conditions)

    def or_condition(self, *conditions: nodes.Expression) -> nodes.Junction:
        return nodes.Junction(False, conditions)


def _span(token: Token) -> tuple[int, int]:
    start = token.start_pos or 0
    return start, start + len(token)


def _unquote(token: Token) -> str:
    body, text, position = str(token)[1:-1], "", 0
    while position < len(body):
        if body[position] == "\\" and position + 1 < len(body):
            following = body[position + 1]
            # An escape that isn't one stays as it is written, so that "\d" in a text means itself.
            text += _ESCAPES.get(following, "\\" + following)
            position += 2
        else:
            text += body[position]
            position += 1
    return text


def _compile(token: Token) -> regex.Pattern[str]:
    # Java's syntax, which the service takes, has (?<name>...), \p{...} and flags in mid-pattern: `regex` reads them,
    # the standard library's `re` doesn't. It also stops a search after a time.
    try:
        return regex.compile(str(token)[1:-1].replace("\\/", "/"), flags=regex.VERSION1)
    except (regex.error, RecursionError, OverflowError, ValueError, KeyError, IndexError) as error:
        raise malformed_query(f"invalid regular expression: {error}", *_span(token)) from None
