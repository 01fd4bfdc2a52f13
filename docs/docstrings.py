"""Docstrings as reStructuredText has to have them: they are written to be read as they are.

`|x|` is a length there and a substitution here, `coef_` an attribute and a reference; lines "name : what it is" are a
list of fields, and an indented paragraph of the text before the sections is a formula, a table or code.
"""

import re
from typing import Any

import numpy as np

MARKS = re.compile(r"``.*?``|`.*?`|\||(?<=\w)_(?!\w)")  # code stays as it is
ESCAPED = re.compile(r"\\(?=[|_])")
FIELD = re.compile(r"( *)(\w[\w, .*\\]*) : (.*)")
INDENTED = 4
OURS = "crossmodal_fast"
UNDERLINE = re.compile(r"^-{3,}$")


def readable(lines: list[str]) -> list[str]:
    """The lines as reStructuredText and numpydoc take them."""
    top = next((number for number, line in enumerate(lines) if UNDERLINE.match(line)), len(lines) + 1) - 1
    marked = [line if line.lstrip().startswith(">>>") else _marked(line) for line in lines]
    return _paragraphs(marked[:top], 0) + _paragraphs(marked[top:], 1)


def _marked(line: str) -> str:
    """What stands before a colon on a line of its own is a name, which numpydoc takes care of."""
    start = 0 if line.startswith(" ") else line.find(" : ") + 1
    return line[:start] + MARKS.sub(_escaped, line[start:])


def _escaped(match: re.Match[str]) -> str:
    return "\\" + match.group() if match.group() in "|_" else match.group()


def _paragraphs(lines: list[str], least: int) -> list[str]:
    """Lines "name : what it is", of `least` spaces and more, as items of a list with what goes on below them.

    In the text before the sections, where that is 0, an indented paragraph is literal.
    """
    found: list[str] = []
    item, literal = -1, False  # spaces before the item that goes on
    for before, line in zip(["-", *lines], lines, strict=False):
        text, spaces = line.strip(), len(line) - len(line.lstrip())
        field = FIELD.fullmatch(line) if spaces >= least else None
        if least == 0 and spaces >= INDENTED and (literal or not before.strip()):
            found += [] if literal else ["::", ""]
            found.append(ESCAPED.sub("", line))
            literal = True
            continue
        literal = literal and not text
        if field:
            found += [""] if item < 0 and found and found[-1].strip() else []
            found.append(f"{field[1]}- {field[2]} : {field[3]}")
            item = spaces
        elif item >= 0 and text and spaces >= item:
            found.append(" " * (item + 2) + text)
        else:
            found.append(line)
            item = -1
    return found


def process(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Sphinx's `autodoc-process-docstring`."""
    lines[:] = readable(lines)


def skip(app: Any, what: str, name: str, thing: Any, skipped: bool, options: Any) -> bool | None:
    """Sphinx's `autodoc-skip-member`: what a class has of another library has that library's docstring."""
    theirs = isinstance(thing, np.ufunc) or not (getattr(thing, "__module__", None) or OURS).startswith(OURS)
    return True if theirs else None
