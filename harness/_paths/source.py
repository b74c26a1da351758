"""What paths a function's source has: operations, retries, catches, branches."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from harness._paths.modules import Function, Module, Reference, Sources, dotted_name, own_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where the name of an operation stands when it is given by position.
_NAME_POSITION = {
    "step": 1,
    "wait": 1,
    "wait_for_condition": 2,
    "wait_for_callback": 1,
    "create_callback": 0,
    "map": 2,
    "parallel": 1,
    "invoke": 2,
    "run_in_child_context": 1,
}
# Methods that nothing but a durable context has.
_DISTINCTIVE = frozenset({"wait_for_condition", "wait_for_callback", "create_callback", "run_in_child_context"})
_CONTEXT_NAMES = frozenset({"context", "ctx", "durable_context", "child_context", "branch_context", "map_context"})


@dataclass(frozen=True)
class Call:
    """A call of a durable operation.

    Attributes:
        module: Where it is.
        line: Its first line.
        end_line: Its last line.
        method: ``step``, ``wait``, ...
        name: The operation's name if it is constant, else None.
        label: What to call it in a table.
        references: The names that its configuration mentions: error types of retry strategies among them.
    """

    module: Module
    line: int
    end_line: int
    method: str
    name: str | None
    label: str
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True)
class Named:
    """An operation that is named where it is declared, not called: a branch, or a decorated function.

    Attributes:
        module: Where it is.
        line: Its line.
        kind: ``parallel branch`` or ``durable function``.
        name: The operation's name if it is constant, else None.
        label: What to call it in a table.
    """

    module: Module
    line: int
    kind: str
    name: str | None
    label: str


@dataclass(frozen=True)
class Catch:
    """An ``except`` clause: reached when a line of its body is.

    Attributes:
        module: Where it is.
        line: The clause's line.
        label: The clause as written.
        body: First and last line of its body.
    """

    module: Module
    line: int
    label: str
    body: tuple[int, int]


@dataclass(frozen=True)
class Arm:
    """One way on from an ``if`` (or a ``case``) in code that decides which operations run.

    Attributes:
        module: Where it is.
        line: The statement's line.
        label: The condition as written, and which arm it is.
        test: First and last line of the condition.
        body: First and last line of what runs if it holds.
        taken: Whether it is the arm into the body, or the one past it.
    """

    module: Module
    line: int
    label: str
    test: tuple[int, int]
    body: tuple[int, int]
    taken: bool


P = TypeVar("P", Call, Named, Catch, Arm)


@dataclass(frozen=True)
class SourcePaths:
    """All paths of a function's source."""

    calls: tuple[Call, ...]
    named: tuple[Named, ...]
    catches: tuple[Catch, ...]
    arms: tuple[Arm, ...]


def find_paths(sources: Sources) -> SourcePaths:
    """Find the paths of a function's source, in the order of files and lines."""
    calls: list[Call] = []
    named: list[Named] = []
    catches: list[Catch] = []
    arms: list[Arm] = []
    deciding = _deciding_functions(sources)
    for module in sources.modules.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                if _is_operation(module, node):
                    calls.append(_call(sources, module, node))
                elif (dotted_name(node.func) or "").rpartition(".")[2] == "ParallelBranch":
                    named.append(_branch(sources, module, node))
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                named.extend(_decorated(sources, module, node))
            elif isinstance(node, ast.ExceptHandler):
                catches.append(_catch(module, node))
            elif isinstance(node, (ast.If, ast.Match)) and module.enclosing(node) in deciding:
                arms.extend(_arms(module, node))
    return SourcePaths(_in_order(calls), _in_order(named), _in_order(catches), _in_order(arms))


def _in_order(found: list[P]) -> tuple[P, ...]:
    return tuple(sorted(found, key=lambda item: (item.module.file, item.line)))


def _is_operation(module: Module, node: ast.Call) -> bool:
    if not isinstance(node.func, ast.Attribute) or node.func.attr not in _NAME_POSITION:
        return False
    if node.func.attr in _DISTINCTIVE or _is_context(module, node.func.value, node):
        return True
    # `pool.map(...)`, `event.wait(...)`, `client.invoke(...)` have no name.
    return (
        isinstance(node.func.value, ast.Name)
        and any(keyword.arg == "name" for keyword in node.keywords)
        and not _is_other_parameter(module, node.func.value, node)
    )


def _parameters(function: Function) -> Iterator[ast.arg]:
    arguments = function.args
    yield from (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)


def _annotation(module: Module, name: str, node: ast.AST) -> tuple[bool, str | None]:
    """Whether a name is a parameter of a function around a node, and what it is annotated with."""
    for scope in module.scopes(node):
        for parameter in _parameters(scope):
            if parameter.arg == name:
                return True, None if parameter.annotation is None else ast.unparse(parameter.annotation)
    return False, None


def _is_context(module: Module, receiver: ast.expr, node: ast.AST) -> bool:
    if isinstance(receiver, ast.Attribute):
        return receiver.attr in _CONTEXT_NAMES
    if not isinstance(receiver, ast.Name):
        return False
    _, annotation = _annotation(module, receiver.id, node)
    if annotation is not None:
        return annotation.strip("'\"").rpartition(".")[2] == "DurableContext"
    return receiver.id in _CONTEXT_NAMES


def _is_other_parameter(module: Module, receiver: ast.Name, node: ast.AST) -> bool:
    _, annotation = _annotation(module, receiver.id, node)
    return annotation is not None


def _argument(node: ast.Call, name: str, position: int) -> ast.expr | None:
    for keyword in node.keywords:
        if keyword.arg == name:
            return keyword.value
    return node.args[position] if position < len(node.args) else None


def _call(sources: Sources, module: Module, node: ast.Call) -> Call:
    assert isinstance(node.func, ast.Attribute)  # noqa: S101 - the caller looked
    method = node.func.attr
    given = _argument(node, "name", _NAME_POSITION[method])
    name = sources.constant(module, given)
    if given is None and method == "step" and node.args:
        name = _durable_step_name(sources, module, node.args[0])
    if name is not None:
        label = name
    else:
        label = f"({method} without a name)" if given is None else f"({method} named {ast.unparse(given)})"
    config = _argument(node, "config", 99) or (
        node.args[1] if method == "wait_for_condition" and node.args[1:] else None
    )
    references = () if config is None else tuple(dict.fromkeys(sources.references(module, config)))
    return Call(module, node.lineno, node.end_lineno or node.lineno, method, name, label, references)


def _durable_step_name(sources: Sources, module: Module, function: ast.expr) -> str | None:
    """The SDK names a step after the function that `@durable_step` decorates."""
    dotted = dotted_name(function.func) if isinstance(function, ast.Call) else None
    if dotted is None:
        return None
    where, name = sources.imported(module, dotted) or (module, dotted)
    defined = where.functions.get(name)
    return name if defined is not None and "durable_step" in _decorators(defined) else None


def _decorators(function: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, ast.expr]:
    found: dict[str, ast.expr] = {}
    for decorator in function.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        found[(dotted_name(target) or "").rpartition(".")[2]] = decorator
    return found


def _decorated(sources: Sources, module: Module, function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Named]:
    decorators = _decorators(function)
    for decorator in ("durable_step", "durable_with_child_context"):
        if decorator in decorators:
            yield Named(module, function.lineno, "durable function", function.name, function.name)
    branch = decorators.get("durable_parallel_branch")
    if isinstance(branch, ast.Call):
        name = sources.constant(module, _argument(branch, "name", 0))
        yield Named(module, function.lineno, "parallel branch", name, name or f"(branch {function.name})")


def _branch(sources: Sources, module: Module, node: ast.Call) -> Named:
    given = _argument(node, "name", 1)
    name = sources.constant(module, given)
    label = name or ("(branch without a name)" if given is None else f"(branch named {ast.unparse(given)})")
    return Named(module, node.lineno, "parallel branch", name, label)


def _span(nodes: list[ast.stmt]) -> tuple[int, int]:
    first = nodes[0]
    start = first.lineno
    if isinstance(first, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and first.decorator_list:
        start = first.decorator_list[0].lineno
    return start, nodes[-1].end_lineno or nodes[-1].lineno


def _catch(module: Module, node: ast.ExceptHandler) -> Catch:
    label = "except" if node.type is None else f"except {ast.unparse(node.type)}"
    return Catch(module, node.lineno, label, _span(node.body))


def _arms(module: Module, node: ast.If | ast.Match) -> Iterator[Arm]:
    if isinstance(node, ast.Match):
        subject = (node.lineno, node.subject.end_lineno or node.lineno)
        for case in node.cases:
            label = f"case {ast.unparse(case.pattern)}" + (f" if {ast.unparse(case.guard)}" if case.guard else "")
            yield Arm(module, case.pattern.lineno, label, subject, _span(case.body), taken=True)
        return
    condition = _short(ast.unparse(node.test))
    test = (node.lineno, node.test.end_lineno or node.lineno)
    body = _span(node.body)
    if body[0] <= test[1]:
        # On one line no trace tells the arms apart.
        return
    yield Arm(module, node.lineno, f"if {condition}", test, body, taken=True)
    yield Arm(module, node.lineno, f"if not ({condition})", test, body, taken=False)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _deciding_functions(sources: Sources) -> set[ast.AST | None]:
    """The functions that call durable operations themselves, or functions that do."""
    deciding: set[ast.AST | None] = set()
    callers: list[tuple[ast.AST, set[tuple[str, str]]]] = []
    keys: dict[ast.AST, tuple[str, str]] = {}
    for module in sources.modules.values():
        for function in ast.walk(module.tree):
            if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            keys[function] = (module.name, function.name)
            called: set[tuple[str, str]] = set()
            for node in own_nodes(function):
                if isinstance(node, ast.Call):
                    if _is_operation(module, node):
                        deciding.add(function)
                    elif (dotted := dotted_name(node.func)) is not None:
                        where, name = sources.imported(module, dotted) or (module, dotted)
                        called.add((where.name, name))
            callers.append((function, called))
    while True:
        names = {keys[function] for function in deciding if function in keys}
        more = {function for function, called in callers if function not in deciding and called & names}
        if not more:
            return deciding
        deciding |= more
