"""Docstrings as reStructuredText has to have them: they are written to be read as they are.

`|x|` is a length there and a substitution here, "name : what it is" on lines of its own a list of fields, and an
indented paragraph of the text before the sections a formula, a table or code.
"""

import re
from typing import Any

import numpy as np

BARS = re.compile(r"\||``.*?``|`.*?`")
FIELD = re.compile(r"^( *)(\w[\w, .*]*) : ")
UNDERLINE = re.compile(r"^-{3,}$")


def readable(lines: list[str]) -> list[str]:
    """The lines as reStructuredText and numpydoc take them."""
    top = next((number for number, line in enumerate(lines) if UNDERLINE.match(line)), len(lines) + 1) - 1
    marked = [BARS.sub(_escaped, line) if not line.lstrip().startswith(">>>") else line for line in lines]
    return _paragraphs(marked[:top]) + [_field(line) if line.startswith(" ") else line for line in marked[top:]]


def _escaped(match: re.Match[str]) -> str:
    return r"\|" if match.group() == "|" else match.group()


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
        found.append(line.replace(r"\|", "|") if literal else "    " + line if plain else _field(line))
    return found


def process(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Sphinx's `autodoc-process-docstring`."""
    lines[:] = readable(lines)


def skip(app: Any, what: str, name: str, thing: Any, skipped: bool, options: Any) -> bool | None:
    """Sphinx's `autodoc-skip-member`: a function of NumPy that a class holds has NumPy's docstring."""
    return True if isinstance(thing, np.ufunc) else None
