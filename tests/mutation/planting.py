"""A mutant in the place of what it was made from: in functions that are there, or as its module is imported."""

import gc
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType

from . import mutants


def functions(path: Path) -> list[FunctionType]:
    """Those made of a file's code so far; others will be made by them."""
    found = [one for one in gc.get_objects() if type(one) is FunctionType]  # isinstance asks a proxy of what is gone
    return [one for one in found if one.__code__.co_filename == str(path)]


def in_place(source: str, number: int, path: Path, known: list[FunctionType]) -> bool:
    """Change those of the known functions that hold the mutated code; False where none can take it."""
    before = compile(source, str(path), "exec")
    after = compile(mutants.planted(source, number), str(path), "exec")
    changed = dict(_pairs(before, after))
    takers = [found for found in known if found.__code__ in changed]
    if any(found.__code__.co_flags != changed[found.__code__].co_flags for found in takers):
        return False  # a generator that is none any more: Python 3.13 warns, and others may forbid it
    for found in takers:
        try:
            found.__code__ = changed[found.__code__]
        except ValueError:  # a closure over fewer or more variables
            return False
    return bool(takers)


def _pairs(before: CodeType, after: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """Codes that differ, with those inside of them; none of a name and line that one of the two has more often."""
    ours, others = _inner(before), _inner(after)
    for place, codes in ours.items():
        if len(codes) == len(others[place]):
            for one, other in zip(codes, others[place], strict=True):
                if one != other:
                    yield one, other
                    yield from _pairs(one, other)


def _inner(code: CodeType) -> defaultdict[tuple[str, int], list[CodeType]]:
    """Name and line -> codes, in the order of the source: the lambdas of a line, say."""
    found = defaultdict(list)
    for part in code.co_consts:
        if isinstance(part, CodeType):
            found[part.co_name, part.co_firstlineno].append(part)
    return found


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
