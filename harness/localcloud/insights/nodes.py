"""The parsed query: commands and expressions as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from harness.localcloud.insights.values import Period, Value


@dataclass(frozen=True)
class Literal:
    """A number, a string or a period."""

    value: Value | Period


@dataclass(frozen=True)
class Field:
    """A field by name; ``start`` is where the query names it."""

    name: str
    start: int = 0


@dataclass(frozen=True)
class Call:
    """A scalar or an aggregation function; ``*`` has no arguments."""

    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True)
class Arithmetic:
    """``left`` followed by pairs of operator and operand, from left to right."""

    left: Expression
    rest: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True)
class Comparison:
    """``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=``."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Match:
    """``like`` and ``=~``: a compiled regular expression, or a text to contain."""

    operand: Expression
    pattern: Any


@dataclass(frozen=True)
class Membership:
    """``in [...]``."""

    operand: Expression
    options: tuple[Expression, ...]


@dataclass(frozen=True)
class Not:
    """The opposite of a condition."""

    condition: Expression


@dataclass(frozen=True)
class Junction:
    """Conditions joined by ``and`` (every one) or ``or`` (any one)."""

    every: bool
    conditions: tuple[Expression, ...]


Expression: TypeAlias = "Literal | Field | Call | Arithmetic | Comparison | Match | Membership | Not | Junction"


@dataclass(frozen=True)
class Column:
    """An expression and the name that its values get.

    Attributes:
        expression: What is computed.
        name: The alias, or the expression as it is written.
        computed: False for a plain field under its own name.
        start: Where the column starts in the query.
    """

    expression: Expression
    name: str
    computed: bool
    start: int


@dataclass(frozen=True)
class Fields:
    """``fields``: computes and shows columns."""

    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Display:
    """``display``: shows exactly these fields."""

    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Filter:
    """``filter``: keeps the rows for which the condition holds."""

    condition: Expression


@dataclass(frozen=True)
class ParseGlob:
    """``parse`` with a glob: the texts between its literal parts become fields."""

    source: Field
    parts: tuple[str, ...]
    names: tuple[str, ...]
    start: int


@dataclass(frozen=True)
class ParseRegex:
    """``parse`` with a regular expression: its named groups become fields."""

    source: Field
    pattern: Any
    names: tuple[str, ...]
    start: int


@dataclass(frozen=True)
class Stats:
    """``stats``: one row per group."""

    columns: tuple[Column, ...]
    by: tuple[Column, ...]
    start: int


@dataclass(frozen=True)
class Sort:
    """``sort``: pairs of field and whether it descends."""

    keys: tuple[tuple[Field, bool], ...]


@dataclass(frozen=True)
class Limit:
    """``limit``: the first rows only."""

    count: int


@dataclass(frozen=True)
class Dedup:
    """``dedup``: the first row of every combination of values."""

    fields: tuple[Field, ...]
    start: int


Command: TypeAlias = "Fields | Display | Filter | ParseGlob | ParseRegex | Stats | Sort | Limit | Dedup"


@dataclass(frozen=True)
class Query:
    """A whole query, checked."""

    commands: tuple[Command, ...]
