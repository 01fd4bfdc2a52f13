"""Every error sentence of toolkit, files and command line is repeated by a test; `test_errors.py` counts the core's.

What is compared is the longest piece of the sentence that is written out, between two values.
"""

import ast
from pathlib import Path

import pytest

import crossmodal_fast as cmf

PACKAGE, TESTS = Path(cmf.__file__).parent, Path(__file__).parent
CORE = {
    "_config.py",
    "_dispatch.py",
    "_gallery.py",
    "_operations.py",
    "_search.py",
    "_validate.py",
}  # in test_errors.py
SHORTEST = 8  # signs that can be recognised
MANY = 100  # sentences there are more of


def texts(node):
    return [part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def sentences(source):
    """(line, longest piece) of everything that makes an error with a sentence."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Error") and node.args:
            piece = max(texts(node.args[0]), key=len, default="").strip("'\",:; ")
            if len(piece) >= SHORTEST:
                yield node.lineno, piece


def untested(files, told):
    for path in files:
        for line, piece in sentences(path.read_text(encoding="utf-8")):
            if piece not in told:
                yield f"{path.name}:{line}: {piece}"


def all_told():
    return "\0".join(text for path in TESTS.glob("*.py") for text in texts(ast.parse(path.read_text(encoding="utf-8"))))


def outside_the_core():
    """Files of the package beside the core and the kernels, which an editable installation keeps elsewhere."""
    everything = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
    return [PACKAGE / path for path in everything if path.parts[0] != "kernels" and str(path) not in CORE]


def test_every_sentence_is_in_a_test():
    assert list(untested(outside_the_core(), all_told())) == []


def test_there_are_sentences():
    assert sum(len(list(sentences(path.read_text(encoding="utf-8")))) for path in outside_the_core()) > MANY


@pytest.mark.parametrize(
    ("raised", "found"),
    [
        ("raise ValueError(f'k must be above {least}, got {k}')", []),
        ("raise ValueError(f'k must be below {most}, got {k}')", ["x.py:1: k must be below"]),
        ("return FileError(f'{name} is unheard of')", ["x.py:1: is unheard of"]),
        ("raise error", []),
    ],
)
def test_the_check_can_say_no(raised, found, tmp_path):
    (tmp_path / "x.py").write_text(raised)
    assert list(untested([tmp_path / "x.py"], "k must be above 3, got 2")) == found
