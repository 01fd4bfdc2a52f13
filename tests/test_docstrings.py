"""Public docstrings: their examples run, and each function says what shapes it takes and what it refuses."""

import doctest
import importlib
import inspect
import pkgutil
import re

import numpy as np
import pytest

import crossmodal_fast

SHAPE = re.compile(r"\([^()]*\b(?:m|n|p|d|d_in|r|e|k)\b[^()]*\)|\((?:\.\.\.|…)")  # (m, d), (..., n), (p,)
LIKE = re.compile(r"(?:as in|of) `(\w+)`")  # what that one says holds here too
WITHOUT_ARRAYS = {  # nothing comes in or goes out that has a shape
    "BackendUnavailable", "Control", "backends", "config", "config_context", "use_backend", "warmup",
}  # fmt: skip


def modules():
    names = [found.name for found in pkgutil.walk_packages(crossmodal_fast.__path__, "crossmodal_fast.")]
    return ["crossmodal_fast", *(name for name in names if not re.search(r"\.(kernels|cli|__main__)(\.|$)", name))]


@pytest.mark.parametrize("name", modules())
def test_examples_run(name):
    module = importlib.import_module(name)
    globals_ = {**vars(module), "np": np}
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    with np.printoptions(precision=8, linewidth=120):
        for example in doctest.DocTestFinder(exclude_empty=True).find(module, name, globs=globals_):
            said = []
            runner.run(example, out=said.append)
            assert runner.failures == 0, "".join(said)


def test_examples_are_found():
    found = [
        example
        for name in modules()
        for test in doctest.DocTestFinder().find(importlib.import_module(name), name)
        for example in test.examples
    ]
    assert len(found) > 30


def public():
    """(name, object) of everything public: functions, classes, and the methods and functions inside."""
    for name in crossmodal_fast.__all__:
        thing = getattr(crossmodal_fast, name)
        yield name, thing
        members = []
        if inspect.ismodule(thing):
            members = [(inner, getattr(thing, inner)) for inner in thing.__all__]
        elif inspect.isclass(thing):
            members = vars(thing).items()
        for inner, member in members:
            member = member.__func__ if isinstance(member, classmethod | staticmethod) else member
            if not inner.startswith("_") and (inspect.isfunction(member) or inspect.isclass(member)):
                yield f"{name}.{inner}", member


PUBLIC = dict(public())
FUNCTIONS = [
    name
    for name, thing in PUBLIC.items()
    if inspect.isfunction(thing)
    and name not in WITHOUT_ARRAYS
    and not inspect.isclass(PUBLIC[name.partition(".")[0]])  # methods: the class says what they take
]


def documented(name):
    """A docstring, and those that it refers to."""
    found = inspect.getdoc(PUBLIC[name]) or ""
    module = name.rpartition(".")[0]
    for other in LIKE.findall(found):
        found += "\n" + (inspect.getdoc(PUBLIC.get(other) or PUBLIC.get(f"{module}.{other}")) or "")
    return found


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_has_a_docstring_of_its_own(name):
    assert name == "config" or PUBLIC[name].__doc__
    assert (inspect.getdoc(PUBLIC[name]) or "")[0].isupper() or (inspect.getdoc(PUBLIC[name]) or "")[0] in "`("


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_name_shapes(name):
    assert SHAPE.search(documented(name)), f"{name} names no shape"


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if "." not in name])
def test_functions_at_the_top_name_errors(name):
    assert re.search(r"\w+Error\b|BackendUnavailable|errors as in", documented(name)), f"{name} names no error"


TOOLKIT = [
    f"crossmodal_fast.{name}" for name in ("preprocess", "fitting", "matching", "evaluate", "fusion", "diagnosis")
]


@pytest.mark.parametrize("name", TOOLKIT)
def test_everything_of_the_toolkit_has_an_example(name):
    module = importlib.import_module(name)
    things = {inner: getattr(module, inner) for inner in module.__all__ if callable(getattr(module, inner))}
    plain = [inner for inner, thing in things.items() if inspect.isfunction(thing) or inspect.isclass(thing)]
    without = [inner for inner in plain if ">>> " not in (inspect.getdoc(things[inner]) or "")]
    assert [inner for inner in without if inner not in ("Diagnosis",)] == []  # made by diagnose, which has one


def test_a_docstring_without_shapes_is_found():
    assert SHAPE.search("X (..., m, d)")
    assert SHAPE.search("indices (p,)")
    assert not SHAPE.search("Distances (all of them) between rows")
