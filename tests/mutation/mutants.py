"""Small faults planted in a source: one changed comparison, operator, number, word, condition or statement at a time.

Neither mutmut nor cosmic-ray fits here: both change files on disk, where a kernel's key in the cache is a digest of all
files, and start a process for each mutant; the first needs trampolines that Numba cannot compile.
"""

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitAnd, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift, ast.MatMult: ast.Mult,
}  # fmt: skip
JUMPS = {ast.Break: ast.Continue, ast.Continue: ast.Break}
UNSEEN = {"annotation", "returns", "type_params", "type_comment"}  # fields that run nothing
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Mutant:
    """One change of a source; `lines`: of the statement it stands in, without the body of one that has a body."""

    number: int
    function: str  # qualified name, "" for the module
    lines: tuple[int, int]
    change: str  # before -> after
    occurrence: int  # among equal changes of the function
    in_body: bool  # of a function: the rest runs at import

    @property
    def key(self) -> str:
        """What survives an edit elsewhere in the file."""
        more = f" #{self.occurrence + 1}" if self.occurrence else ""
        return f"{self.function or '(module)'}: {self.change}{more}"


@dataclass
class Site:
    """Where a node hangs in its tree, what takes its place, and the name of the function around it."""

    parent: ast.AST
    field: str
    at: int | None
    node: ast.AST
    other: ast.AST
    statement: ast.stmt
    function: str
    in_body: bool

    def put(self, node: ast.AST) -> None:
        if self.at is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.at] = node


def variants(node: ast.AST) -> Iterator[ast.AST]:
    """What takes the place of a node, one fault each."""
    changed = copy.copy(node)
    match node:
        case ast.Compare():
            for at, operator in enumerate(node.ops):
                ops = [*node.ops]
                ops[at] = COMPARISONS[type(operator)]()
                yield ast.Compare(node.left, ops, node.comparators)
        case ast.BinOp():
            changed.op = OPERATORS[type(node.op)]()
            yield changed
        case ast.AugAssign():
            changed.op = OPERATORS[type(node.op)]()
            yield changed
        case ast.BoolOp():
            changed.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield changed
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            yield copy.copy(node.operand)  # which is moved to the place of the node, and stays in the tree too
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float()):
            yield ast.Constant(node.value + 1)
        case ast.Constant(value=str()) if node.value:
            yield ast.Constant("XX")  # whole: "XXbiuf" has all the letters of "biuf"
        case ast.If() | ast.While() | ast.IfExp():
            if not isinstance(node.test, ast.Compare | ast.UnaryOp):  # those have mutants that say no
                changed.test = ast.UnaryOp(ast.Not(), node.test)
                yield changed
        case ast.Return(value=ast.expr()) if not (isinstance(node.value, ast.Constant) and node.value.value is None):
            changed.value = ast.Constant(None)
            yield changed
        case ast.Break() | ast.Continue():
            yield JUMPS[type(node)]()
        case ast.Raise() | ast.Expr():
            yield ast.Pass()


def sites(tree: ast.AST) -> Iterator[Site]:
    """All of them, in the order of the source."""
    yield from _sites(tree, None, [], False)


def _sites(parent: ast.AST, statement: ast.stmt | None, scope: list[str], in_body: bool) -> Iterator[Site]:
    for field, value in ast.iter_fields(parent):
        inside = in_body or (field == "body" and isinstance(parent, ast.FunctionDef))
        for at, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if field in UNSEEN or not isinstance(node, ast.AST) or _silent(node, parent):
                continue
            if field == "decorator_list":
                inside = in_body
            around = node if isinstance(node, ast.stmt) else statement
            if around is not None:
                for other in variants(node):
                    yield Site(parent, field, at, node, ast.copy_location(other, node), around, ".".join(scope), inside)
            deeper = [*scope, node.name] if isinstance(node, SCOPES) else scope
            yield from _sites(node, around, deeper, inside)


def _silent(node: ast.AST, parent: ast.AST) -> bool:
    """What has no effect, or none that a test should see: docstrings, imports, types, names given to libraries."""
    if isinstance(node, ast.Import | ast.ImportFrom) or (
        isinstance(node, ast.If) and "TYPE_CHECKING" in _text(node.test)
    ):
        return True
    if isinstance(node, ast.Call) and _text(node.func) in ("cast", "TypeVar", "ParamSpec"):
        return True
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _text(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())


def _shown(site: Site) -> str:
    """`before -> after` of the smallest expression that says enough."""
    if isinstance(site.node, ast.If | ast.While | ast.IfExp):
        return f"{_text(site.node.test)} -> {_text(site.other.test)}"
    before, after = _text(site.node), _text(site.other)
    if isinstance(site.node, ast.Constant):
        around = _around(site)
        site.put(site.other)
        changed = _around(site)
        site.put(site.node)
        before, after = (around, changed) if len(around) < 160 else (before, after)
    return f"{before} -> {after}"


def _around(site: Site) -> str:
    """The expression, or the simple statement, in which a constant stands."""
    if isinstance(site.parent, ast.expr | ast.Assign | ast.AugAssign | ast.Return | ast.keyword):
        with_fields = ast.fix_missing_locations(copy.copy(site.parent))
        return _text(with_fields)
    held = getattr(site.parent, site.field)
    return _text(held if site.at is None else held[site.at])


def _lines(site: Site) -> tuple[int, int]:
    """Lines of the expression, or of the statement's head."""
    if isinstance(site.node, ast.expr):
        return site.node.lineno, site.node.end_lineno or site.node.lineno
    body = getattr(site.node, "body", None)
    last = body[0].lineno - 1 if isinstance(body, list) and body else site.statement.end_lineno
    return site.statement.lineno, max(site.statement.lineno, last or 0)


def mutants(source: str) -> list[Mutant]:
    """All of a source, numbered as `planted` counts them."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for number, site in enumerate(sites(ast.parse(source))):
        change = _shown(site)
        found.append(Mutant(number, site.function, _lines(site), change, seen[site.function, change], site.in_body))
        seen[site.function, change] += 1
    return found


def planted(source: str, number: int) -> ast.Module:
    """The tree of a source with one mutant in it."""
    tree = ast.parse(source)
    site = next(site for at, site in enumerate(sites(tree)) if at == number)
    site.put(site.other)
    return ast.fix_missing_locations(tree)
