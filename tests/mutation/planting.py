"""A mutant in the place of what it was made from: in functions that are there, or as its module is imported."""

import gc
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType

from . import mutants


def functions(path: Path) -> list[FunctionType]:
    """Those made of a file's code so far; others will be made by them."""
    name = str(path)
    return [
        found for found in gc.get_objects() if isinstance(found, FunctionType) and found.__code__.co_filename == name
    ]


def in_place(source: str, number: int, path: Path, known: list[FunctionType]) -> bool:
    """Change those of the known functions that hold the mutated code; False where none can take it."""
    before = compile(source, str(path), "exec")
    after = compile(mutants.planted(source, number), str(path), "exec")
    changed = dict(_pairs(before, after))
    count = 0
    for found in known:
        if found.__code__ in changed:
            try:
                found.__code__ = changed[found.__code__]
            except ValueError:  # a closure over fewer or more variables
                return False
            count += 1
    return count > 0


def _pairs(before: CodeType, after: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """Codes that differ, with those inside of them, by their place in the source."""
    inner = {_place(part): part for part in after.co_consts if isinstance(part, CodeType)}
    for one in before.co_consts:
        if isinstance(one, CodeType) and (other := inner.get(_place(one), one)) != one:
            yield one, other
            yield from _pairs(one, other)


def _place(code: CodeType) -> tuple[object, ...]:
    return code.co_name, code.co_firstlineno, next(iter(code.co_positions()), None)


def at_import(source: str, number: int, path: Path) -> None:
    """Have the module imported with the mutant in it."""
    code, own = compile(mutants.planted(source, number), str(path), "exec"), SourceFileLoader.get_code

    def get_code(loader, name):
        return code if loader.path == str(path) else own(loader, name)

    SourceFileLoader.get_code = get_code


def trace(entered) -> None:
    """Of this thread and of those to come."""
    threading.settrace(entered)
    sys.settrace(entered)
