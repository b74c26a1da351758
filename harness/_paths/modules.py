"""The Python files of a function, parsed, and what the names in them stand for."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import ConfigurationError

_SKIPPED_FOLDERS = frozenset({"__pycache__", ".git", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache"})
_MARK = re.compile(r"#\s*harness:\s*(?P<text>.*)")
_OPT_OUT = re.compile(r"(?P<kind>unreachable|unobservable)\s+because\s+(?P<reason>\S.{3,})")
# Configurations that go through more hands than this aren't followed.
_DEPTH = 6

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True)
class OptOut:
    """A comment that says why a line isn't reached by tests.

    Attributes:
        kind: ``unreachable``: no input leads there; ``unobservable``: it is reached, but no history shows it.
        reason: Why.
    """

    kind: str
    reason: str


@dataclass(frozen=True)
class Reference:
    """A name in the source, such as ``orders.PaymentGatewayError``.

    Attributes:
        module: The module it is written in.
        dotted: The name as written.
        file: Relative to the function's folder.
        line: From 1.
    """

    module: str
    dotted: str
    file: str
    line: int


@dataclass
class Module:
    """One file.

    Attributes:
        file: Relative to the function's folder.
        name: As it is imported.
        tree: Its syntax.
        parents: The node around each node.
        opt_outs: By line.
        values: What module-level names are assigned to.
        functions: Module-level functions by name.
        imports: What imported names stand for: module and, for ``from`` imports, the name in it.
    """

    file: str
    name: str
    tree: ast.Module
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)
    opt_outs: dict[int, OptOut] = field(default_factory=dict)
    values: dict[str, ast.expr] = field(default_factory=dict)
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = field(default_factory=dict)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)

    def opt_out(self, line: int) -> OptOut | None:
        """The comment at the end of a line, or alone on the line above it."""
        return self.opt_outs.get(line)

    def enclosing(self, node: ast.AST) -> Function | None:
        """The function around a node, or None at module level."""
        parent = self.parents.get(node)
        while parent is not None and not isinstance(parent, Function):
            parent = self.parents.get(parent)
        return parent

    def scopes(self, node: ast.AST) -> Iterator[Function]:
        """The functions around a node, innermost first."""
        function = self.enclosing(node)
        while function is not None:
            yield function
            function = self.enclosing(function)


class Sources:
    """All Python files of a function's folder.

    Args:
        root: The folder.

    Raises:
        ConfigurationError: A file can't be read or isn't Python, or an opt-out comment has no reason.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.modules: dict[str, Module] = {}
        for path in sorted(root.rglob("*.py")):
            relative = path.relative_to(root)
            if not _SKIPPED_FOLDERS.intersection(relative.parts):
                module = _parse(path, relative)
                self.modules[module.name] = module

    def imported(self, module: Module, name: str) -> tuple[Module, str] | None:
        """The module of the function that a name, dotted or imported, is defined in, and its name there."""
        first, _, rest = name.partition(".")
        target = module.imports.get(first)
        if target is None:
            return None
        origin, member = target
        if member is not None and f"{origin}.{member}" in self.modules:
            origin, member = f"{origin}.{member}", None
        found = self.modules.get(origin)
        if found is None:
            return None
        if member is None:
            return (found, rest) if rest and "." not in rest else None
        return None if rest else (found, member)

    def constant(self, module: Module, node: ast.expr | None, depth: int = _DEPTH) -> str | None:
        """The text that an expression is, if it is a literal or a constant's name."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        dotted = dotted_name(node)
        if dotted is None or depth == 0:
            return None
        if dotted in module.values:
            return self.constant(module, module.values[dotted], depth - 1)
        target = self.imported(module, dotted)
        if target is not None and target[1] in target[0].values:
            return self.constant(target[0], target[0].values[target[1]], depth - 1)
        return None

    def references(self, module: Module, node: ast.AST, depth: int = _DEPTH) -> Iterator[Reference]:
        """The names in an expression, and in what these names are assigned to or return, in turn."""
        if depth == 0:
            return
        if isinstance(node, (ast.Name, ast.Attribute)) and (dotted := dotted_name(node)) is not None:
            yield Reference(module.name, dotted, module.file, node.lineno)
            target = (module, dotted) if "." not in dotted else None
            found = self._local(module, node, dotted) if target else None
            if found is not None:
                yield from self.references(module, found, depth - 1)
                return
            target = self.imported(module, dotted) or target
            if target is not None:
                yield from self._definition(*target, depth - 1)
            return
        for child in ast.iter_child_nodes(node):
            yield from self.references(module, child, depth)

    def _local(self, module: Module, node: ast.AST, name: str) -> ast.expr | None:
        for scope in module.scopes(node):
            for statement in ast.walk(scope):
                if isinstance(statement, ast.Assign) and any(
                    isinstance(target, ast.Name) and target.id == name for target in statement.targets
                ):
                    return statement.value
        return None

    def _definition(self, module: Module, name: str, depth: int) -> Iterator[Reference]:
        if name in module.values:
            yield from self.references(module, module.values[name], depth)
        elif name in module.functions:
            for statement in own_nodes(module.functions[name]):
                if isinstance(statement, ast.Return) and statement.value is not None:
                    yield from self.references(module, statement.value, depth)


def _parse(path: Path, relative: Path) -> Module:
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text, str(path))
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigurationError(
            f"A file of the function can't be read as Python: {error}", where=str(path), hint="Correct or remove it"
        ) from error
    parts = relative.with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
    module = Module(relative.as_posix(), name, tree)
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            module.parents[child] = node
        if isinstance(node, ast.Import):
            for alias in node.names:
                module.imports[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0],
                    None,
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                module.imports[alias.asname or alias.name] = (_origin(node, name), alias.name)
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    module.values[target.id] = statement.value
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            module.values[statement.target.id] = statement.value
        elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            module.functions[statement.name] = statement
    module.opt_outs = _opt_outs(text, path)
    return module


def _origin(node: ast.ImportFrom, module: str) -> str:
    if node.level == 0:
        return node.module or ""
    package = module.split(".")[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def _opt_outs(text: str, path: Path) -> dict[int, OptOut]:
    found: dict[int, OptOut] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        mark = _MARK.match(token.string) if token.type == tokenize.COMMENT else None
        if mark is None:
            continue
        match = _OPT_OUT.fullmatch(mark["text"].strip())
        line, column = token.start
        if match is None:
            raise ConfigurationError(
                "A comment `# harness:` says neither `unreachable because ...` nor `unobservable because ...`",
                where=f"{path}:{line}",
                hint="Give the reason why no test can show that this line is reached, or remove the comment",
            )
        alone = not text.splitlines()[line - 1][:column].strip()
        found[line + 1 if alone else line] = OptOut(match["kind"], match["reason"].strip())
    return found


def dotted_name(node: ast.AST | None) -> str | None:
    """``a.b.c`` for names and attributes of names, else None."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted_name(node.value)) is not None:
        return f"{before}.{node.attr}"
    return None


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function that run in its own frame: nested functions and classes left out."""
    body = function.body if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Module)) else None
    pending: list[ast.AST] = list(body) if body is not None else list(ast.iter_child_nodes(function))
    while pending:
        node = pending.pop(0)
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            pending[:0] = ast.iter_child_nodes(node)
