"""Docstrings as reStructuredText has to have them: they are written to be read as they are.

`|x|` is a length there and a substitution here, `coef_` an attribute and a reference; lines "name : what it is" are a
list of fields, and an indented paragraph of the text before the sections is a formula, a table or code.
"""

import re
from typing import Any

import numpy as np

MARKS = re.compile(r"``.*?``|`.*?`|\||(?<=\w)_(?!\w)")  # code stays as it is
ESCAPED = re.compile(r"\\(?=[|_])")
FIELD = re.compile(r"^( *)(\w[\w, .*]*) : ")
OURS = "crossmodal_fast"
UNDERLINE = re.compile(r"^-{3,}$")


def readable(lines: list[str]) -> list[str]:
    """The lines as reStructuredText and numpydoc take them."""
    top = next((number for number, line in enumerate(lines) if UNDERLINE.match(line)), len(lines) + 1) - 1
    marked = [line if line.lstrip().startswith(">>>") else _marked(line) for line in lines]
    return _paragraphs(marked[:top]) + [_field(line) if line.startswith(" ") else line for line in marked[top:]]


def _marked(line: str) -> str:
    """What stands before a colon on a line of its own is a name, which numpydoc takes care of."""
    start = 0 if line.startswith(" ") else line.find(" : ") + 1
    return line[:start] + MARKS.sub(_escaped, line[start:])


def _escaped(match: re.Match[str]) -> str:
    return "\\" + match.group() if match.group() in "|_" else match.group()


def _field(line: str) -> str:
    return FIELD.sub(r"\1:\2: ", line)


def _paragraphs(lines: list[str]) -> list[str]:
    """Text before the sections: indented paragraphs literally, fields as such, with what goes on below them."""
    found: list[str] = []
    literal = field = False
    for number, line in enumerate(lines):
        begins = number > 0 and not lines[number - 1].strip()
        field = bool(line.strip()) and (field or FIELD.match(line) is not None)
        if line.startswith("    ") and (begins or literal):
            if not literal:
                found += ["::", ""]
            literal = True
        elif line.strip():
            literal = False
        plain = field and not line.startswith(" ") and FIELD.match(line) is None
        found.append(ESCAPED.sub("", line) if literal else "    " + line if plain else _field(line))
    return found


def process(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Sphinx's `autodoc-process-docstring`."""
    lines[:] = readable(lines)


def skip(app: Any, what: str, name: str, thing: Any, skipped: bool, options: Any) -> bool | None:
    """Sphinx's `autodoc-skip-member`: what a class has of another library has that library's docstring."""
    theirs = isinstance(thing, np.ufunc) or not (getattr(thing, "__module__", None) or OURS).startswith(OURS)
    return True if theirs else None
