"""Code on pages: the blocks of a Markdown file, run, and what they say they print or are."""

import ast
import contextlib
import io
import re

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text, language):
    return [code for found, code in BLOCK.findall(text) if found == language]


def shown(code, node):
    """The comment behind a statement and on the lines directly below it: what it is said to print or to be."""
    lines = code.splitlines()[node.end_lineno - 1 :]
    behind = lines[0].encode()[node.end_col_offset :].decode()
    taken = [behind] if behind.strip().startswith("#") else []
    for line in lines[1:]:
        if not line.startswith("#"):
            break
        taken.append(line)
    return [line.strip().removeprefix("#").strip() for line in taken]


def faults(code, namespace):
    """Run a block, a statement at a time; one sentence for each expression that is not what its comment says."""
    for node in ast.parse(code).body:
        printed, value = io.StringIO(), None
        with contextlib.redirect_stdout(printed):
            if isinstance(node, ast.Expr):
                value = eval(compile(ast.Expression(node.value), "README.md", "eval"), namespace)
            else:
                exec(compile(ast.Module([node], []), "README.md", "exec"), namespace)
        found = printed.getvalue() + ("" if value is None else repr(value))
        said = shown(code, node)
        if found and said and [line.strip() for line in found.splitlines()] != said:
            yield f"{ast.unparse(node)} gives {found!r}, not {said!r}"
