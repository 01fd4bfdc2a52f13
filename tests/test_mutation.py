"""The logic of `make mutation` and of `make coverage`, on sources and figures made for it."""

import os
import shutil
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pytest

import covered
from git_alone import alone
from mutation import forks, mutants, planting, reasons, report
from mutation.targets import TARGETS, Target

SOURCE = '''
"""Words."""
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from x import y

LIMIT = 3
MORE: bool = False


def area(width: int, height: float = 2.0) -> float:
    """The area."""
    if width < LIMIT and not height:
        raise ValueError("too small")
    for step in range(width):
        if step:
            break
    return width * height


def outer(scale):
    def inner(x):
        return x + scale
    return inner


def count():
    yield 1


def both(x): return [part(x) for part in (lambda x: x + 5, lambda x: x * 5)]
'''
CHANGES = [
    "(module): LIMIT = 3 -> LIMIT = 4",
    "(module): False -> True",
    "area: 2.0 -> 3.0",
    "area: width < LIMIT and (not height) -> not (width < LIMIT and (not height))",
    "area: width < LIMIT and (not height) -> width < LIMIT or not height",
    "area: width < LIMIT -> width <= LIMIT",
    "area: not height -> height",
    "area: raise ValueError('too small') -> pass",
    "area: ValueError('too small') -> ValueError('XX')",
    "area: step -> not step",
    "area: break -> continue",
    "area: return width * height -> return None",
    "area: width * height -> width / height",
    "outer.inner: return x + scale -> return None",
    "outer.inner: x + scale -> x - scale",
    "outer: return inner -> return None",
    "count: yield 1 -> pass",
    "count: (yield 1) -> (yield 2)",
    "both: return [part(x) for part in (lambda x: x + 5, lambda x: x * 5)] -> return None",
    "both: x + 5 -> x - 5",
    "both: x + 5 -> x + 6",
    "both: x * 5 -> x / 5",
    "both: x * 5 -> x * 6",
]


def test_what_is_planted():
    assert sorted(mutant.key for mutant in mutants.mutants(SOURCE)) == sorted(CHANGES)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("a == b != c", {"a != b != c", "a == b == c"}),
        ("a is b", {"a is not b"}),
        ("a not in b", {"a in b"}),
        ("a // b", {"a * b"}),
        ("a @ b", {"a * b"}),
        ("a << b", {"a >> b"}),
        ("-a", {"a"}),
        ("~a", {"a"}),
        ("True", {"False"}),
        ("1.5", {"2.5"}),
        ("'word'", {"'XX'"}),
        ("''", set()),
        ("None", set()),
        ("b if a else c", {"b if not a else c"}),
        ("b if a < c else c", {"b if a <= c else c"}),
        ("cast('int', a)", set()),
    ],
)
def test_kinds_of_mutants(code, changes):
    source = f"x = {code}\n"
    made = {mutants.ast.unparse(mutants.planted(source, mutant.number)) for mutant in mutants.mutants(source)}
    assert made == {f"x = {change}" for change in changes}


def test_equal_changes_have_names_of_their_own():
    keys = [mutant.key for mutant in mutants.mutants("def f(a):\n    a = a + b\n    c = a + b\n")]
    assert keys == ["f: a + b -> a - b", "f: a + b -> a - b #2"]


def test_what_runs_at_import_is_told_apart():
    outside = {mutant.key for mutant in mutants.mutants(SOURCE) if not mutant.in_body}
    assert outside == {"(module): LIMIT = 3 -> LIMIT = 4", "(module): False -> True", "area: 2.0 -> 3.0"}


@pytest.fixture
def module(tmp_path, monkeypatch):
    path = tmp_path / "planted_source.py"
    path.write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(planting.SourceFileLoader, "get_code", planting.SourceFileLoader.get_code)
    yield path
    sys.modules.pop("planted_source", None)


def number(key):
    return next(mutant.number for mutant in mutants.mutants(SOURCE) if mutant.key == key)


def test_a_mutant_takes_the_place_of_functions_that_are_there(module):
    import planted_source

    known, add = planting.functions(module), planted_source.outer(10)
    assert planting.in_place(SOURCE, number("area: width * height -> width / height"), module, known)
    assert planted_source.area(3, 2) == 1.5
    assert planting.in_place(SOURCE, number("outer.inner: x + scale -> x - scale"), module, planting.functions(module))
    assert (add(1), planted_source.outer(10)(1)) == (-9, -9)
    outside = number("(module): LIMIT = 3 -> LIMIT = 4")
    assert not planting.in_place(SOURCE, outside, module, known)


def test_what_others_left_of_a_dead_object_is_passed_by(module):
    """Any question to such a proxy is an error, and libraries leave them."""
    import planted_source

    proxy = weakref.proxy(type("Gone", (), {})())
    with pytest.raises(ReferenceError):
        isinstance(proxy, type)
    assert planted_source.area in planting.functions(module)


def test_a_generator_that_is_none_any_more_is_left_to_the_import(module):
    import planted_source

    assert not planting.in_place(SOURCE, number("count: yield 1 -> pass"), module, planting.functions(module))
    assert list(planted_source.count()) == [1]


def test_of_two_lambdas_in_a_line_the_right_one_is_changed(module):
    import planted_source

    assert planting.in_place(SOURCE, number("both: x * 5 -> x / 5"), module, planting.functions(module))
    assert planted_source.both(10) == [15, 2]


@pytest.mark.parametrize("mutant", [one for one in mutants.mutants(SOURCE) if one.in_body], ids=lambda one: one.key)
def test_a_mutant_changes_its_function_alone(mutant):
    """What another one has moved looks like a change, and an unchanged function then survives in the mutant's name."""
    before = compile(SOURCE, "source.py", "exec")
    after = compile(mutants.planted(SOURCE, mutant.number), "source.py", "exec")
    changed = {one.co_qualname.partition(".")[0] for one, _ in planting._pairs(before, after)}
    assert changed == {mutant.function.partition(".")[0]}


def test_a_mutant_is_there_from_the_import_on(module):
    planting.at_import(SOURCE, number("(module): LIMIT = 3 -> LIMIT = 4"), module)
    import planted_source

    assert planted_source.LIMIT == 4


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the runner forks, and bounds memory as Linux does")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_forks():
    parent = os.getpid()
    assert forks.in_child(os.getppid) == parent
    assert forks.in_child(lambda: time.sleep(60), waiting=0.1) == forks.SLOW
    assert forks.in_child(lambda: os._exit(1)) == forks.CRASHED
    assert forks.in_child(lambda: 1 / 0) == forks.OUTSIDE


# ----------------------------------------------------------------------------------------------------- what is reported


def fates(**found):
    some = mutants.mutants("def f(a, b):\n    return (a < b) + (a > b)\n")
    return {mutant: found.get(f"m{mutant.number}", "tests/test_x.py::test_y") for mutant in some}


@pytest.fixture
def explained(monkeypatch):
    table = {"a.py": {"f: a < b -> a <= b": "they are never equal", "f: a < b -> a != b": "never"}}
    monkeypatch.setattr(reasons, "REASONS", table)
    return table


FILES = [Target(name, ()) for name in ("a.py", "b.py", "c.py")]


def test_the_page_keeps_what_was_not_run_again(tmp_path, explained):
    page = tmp_path / "survivors.md"
    number_of = {mutant.key: f"m{mutant.number}" for mutant in fates()}
    survived = fates(**{number_of["f: a < b -> a <= b"]: "survived"})
    report.write({"a.py": survived, "b.py": fates()}, dict.fromkeys(("a.py", "b.py"), "abc1234+"), page, FILES)
    text = page.read_text(encoding="utf-8")
    assert "| `a.py` | abc1234+ | 4 | 3 | 1 |" in text
    assert "| `c.py` | not run |  |  |  |" in text
    assert "| 2 of 3 files | | 8 | 7 | 1 |" in text
    assert "- `f: a < b -> a <= b`: they are never equal" in text
    report.write({"b.py": fates(**{number_of["f: a > b -> a >= b"]: "not run"})}, {"b.py": "def5678"}, page, FILES)
    text = page.read_text(encoding="utf-8")
    assert "| `a.py` | abc1234+ | 4 | 3 | 1 |" in text
    assert "| `b.py` | def5678 | 4 | 3 | 1 |" in text
    assert "| 2 of 3 files | | 8 | 6 | 2 |" in text
    assert "- `f: a > b -> a >= b`: NO REASON" in text
    assert "they are never equal" in text


def test_the_page_says_at_which_commit_a_file_was_run(tmp_path, monkeypatch):
    if not shutil.which("git"):
        pytest.skip("git is not installed")

    def git(*words):
        who = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
        done = subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    monkeypatch.setattr(report, "ROOT", tmp_path)
    alone(monkeypatch, tmp_path)
    target = Target("a.py", ("test_a",))
    assert report.commit_of(target) == report.UNKNOWN
    (tmp_path / "tests").mkdir()
    git("init", "--quiet")
    for name in ("a.py", "tests/test_a.py", "other.py"):
        (tmp_path / name).write_text("", encoding="utf-8")
        git("add", ".")
        git("commit", "--quiet", "-m", name)
    assert report.commit_of(target) == git("rev-parse", "--short", "HEAD~1")
    page, commit = tmp_path / "page.md", report.commit_of(target)
    page.write_text(
        f"## `a.py` at {commit}+: 4 mutants, 2 killed, 2 left\n\n- `f: a -> b`: why\n- `g: c`: why\n", "utf-8"
    )
    assert report.survivors(target, page) == {"f: a -> b", "g: c"}
    assert report.survivors(Target("other.py", ()), page) is None
    (tmp_path / "a.py").write_text("x = 1\n", encoding="utf-8")
    assert report.commit_of(target) == git("rev-parse", "--short", "HEAD~1") + "+"
    assert report.survivors(target, page) is None
    page.write_text(page.read_text(encoding="utf-8").replace(commit, "0123456"), encoding="utf-8")
    assert report.survivors(target, page) is None


def test_the_page_names_every_target():
    rows = [line.split("`")[1] for line in report.PAGE.read_text(encoding="utf-8").splitlines() if line[:3] == "| `"]
    assert rows == [target.name for target in TARGETS]


def test_reasons_must_be_of_survivors(explained):
    number_of = {mutant.key: f"m{mutant.number}" for mutant in fates()}
    survived = {"a.py": fates(**{number_of["f: a < b -> a <= b"]: "survived"})}
    assert list(reasons.idle(survived)) == ["a.py: f: a < b -> a != b"]
    explained["a.py"] = {"f: a <*": "a prefix"}
    assert list(reasons.idle(survived)) == []
    assert [reasons.of("a.py", mutant) for mutant in fates()].count("a prefix") == 1


def test_what_is_written_down_is_of_files_that_are_there():
    assert set(reasons.REASONS) <= {target.name for target in TARGETS}
    for target in TARGETS:
        assert target.path.is_file()
        assert all((Path(__file__).parent / f"{name}.py").is_file() for name in target.tests)
        keys = [mutant.key for mutant in mutants.mutants(target.path.read_text(encoding="utf-8"))]
        for key in reasons.REASONS.get(target.name, {}):
            assert any(reasons.fits(key, given) for given in keys), f"{target.name} has no mutant {key}"


def test_coverage_by_folder():
    def file(covered_lines, lines, branches):
        summary = {"covered_lines": covered_lines, "covered_branches": branches, "num_statements": lines}
        return {"summary": summary | {"num_branches": branches}}

    found = covered.shares(
        {
            "crossmodal_fast/_a.py": file(9, 10, 10),
            "crossmodal_fast/cli/info.py": file(10, 10, 0),
            "kernels/tiles/cuda/b.py": file(9, 10, 0),
            "kernels/tiles/c.py": file(0, 0, 0),
        }
    )
    assert found == {
        "all": (38, 40), "crossmodal_fast": (29, 30), "crossmodal_fast/cli": (10, 10), "kernels": (9, 10),
        "kernels/tiles/cuda": (9, 10),
    }  # fmt: skip
    assert list(covered.too_little(found)) == ["kernels: coverage must be at least 95 %, got 90.0 %"]
    assert covered.table(found)[0].split() == ["all", "95.0", "%", "2", "left"]
