"""A page of the API for each public module, of the docstrings of all its public names, each once.

`python docs/api_pages.py > tests/public_names.txt` writes down what a release promises: docs/stability.md.
"""

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import crossmodal_fast

PACKAGE = "crossmodal_fast"
BESIDE = ("demo",)
"""Those that are imported by their own name; the others are in `crossmodal_fast.TOOLKIT` or are peers of `compat`."""


def modules() -> list[str]:
    """Dotted names of all modules that have a page."""
    found = [PACKAGE, *(f"{PACKAGE}.{name}" for name in sorted({*crossmodal_fast.TOOLKIT, *BESIDE}))]
    return found + [f"{PACKAGE}.compat.{peer}" for peer in crossmodal_fast.compat.PEERS]


def public(module: ModuleType) -> list[str]:
    """Its `__all__`, or what is defined in it without an underscore."""
    own = [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and getattr(thing, "__module__", None) == module.__name__
    ]
    return list(getattr(module, "__all__", own))


def entries() -> Iterator[tuple[str, str, str]]:
    """(module, name, directive) of everything public, where the first module names it; a link to that from others."""
    known: dict[int, str] = {}
    for dotted in modules():
        module = import_module(dotted)
        for name in public(module):
            thing = getattr(module, name)
            written = _entry(f"{dotted}.{name}", thing)
            if written is not None:
                there = known.setdefault(id(thing), f"{dotted}.{name}")
                yield dotted, name, written if there == f"{dotted}.{name}" else f":py:obj:`{name} <{there}>`\n"


def _entry(name: str, thing: object) -> str | None:
    if inspect.isclass(thing):
        return f".. autoclass:: {name}\n   :members:\n"
    if inspect.isroutine(thing):
        return f".. autofunction:: {name}\n"
    if isinstance(thing, dict):  # a table of methods: its names are what a caller may say
        return f".. py:data:: {name.rpartition('.')[2]}\n\n   {', '.join(f'`{key}`' for key in thing)}\n"
    return f".. autodata:: {name}\n   :no-value:\n" if name.endswith(".config") else None


def page(dotted: str, named: list[str]) -> str:
    """reStructuredText of one module."""
    return "\n".join([dotted, "=" * len(dotted), "", f".. automodule:: {dotted}", "", *named])


def write(folder: Path) -> None:
    """All pages, and one that lists them."""
    folder.mkdir(parents=True)
    by_module: dict[str, list[str]] = {dotted: [] for dotted in modules()}
    for dotted, _, written in entries():
        by_module[dotted].append(written)
    for dotted, named in by_module.items():
        (folder / f"{dotted}.rst").write_text(page(dotted, named), encoding="utf-8")
    index = ["API", "===", "", ".. toctree::", "", *(f"   {dotted}" for dotted in by_module), ""]
    (folder / "index.rst").write_text("\n".join(index), encoding="utf-8")


def promised() -> Iterator[str]:
    """What a later version has to have: a line for each name of each module, with the parameters that it takes."""
    for dotted in modules():
        module = import_module(dotted)
        for name in public(module):
            thing = getattr(module, name)
            yield f"{dotted}.{name}{_parameters(thing)}"
            for inner, member in sorted(vars(thing).items()) if inspect.isclass(thing) else ():
                member = member.__func__ if isinstance(member, classmethod | staticmethod) else member
                if not inner.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                    yield f"{dotted}.{name}.{inner}{_parameters(member)}"


def _parameters(thing: object) -> str:
    """Names in order, those that only a keyword gives behind a star; nothing where there is no signature."""
    if not (inspect.isroutine(thing) or inspect.isclass(thing)):
        return ""
    try:
        given = inspect.signature(thing).parameters.values()
    except ValueError:
        return ""
    positional = [each.name for each in given if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    keywords = sorted(each.name for each in given if each.kind is each.KEYWORD_ONLY)
    return f"({', '.join([*positional, *(['*', *keywords] if keywords else [])])})"


if __name__ == "__main__":
    print("\n".join(promised()))
