"""What the last release promised is there: docs/stability.md. And who may be cited, by the file that says how."""

import re

import api_pages
import pytest

import crossmodal_fast
from project import ROOT

PROMISED = (ROOT / "tests" / "public_names.txt").read_text(encoding="utf-8").splitlines()
CHANGES = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
LINE = re.compile(r"([\w.]+)(?:\(([^)]*)\))?")


def parsed(line):
    """(name, positional parameters, parameters by keyword), None for what takes none."""
    name, given = LINE.fullmatch(line).groups()
    if given is None:
        return name, None, set()
    positional, _, keywords = given.partition("*")
    return name, [each for each in positional.split(", ") if each], {each for each in keywords.split(", ") if each}


def broken(promised, found, changes):
    """A sentence for each promise that is not kept and not named under Removed."""
    there = {name: (positional, keywords) for name, positional, keywords in map(parsed, found)}
    removed = " ".join(re.findall(r"### Removed\n(.*?)(?=\n##|\Z)", changes, re.DOTALL))
    for name, positional, keywords in map(parsed, promised):
        short = name.removeprefix("crossmodal_fast.")
        if f"`{short}`" in removed or f"`{name}`" in removed:
            continue
        if name not in there:
            yield f"{name} is gone"
            continue
        now, others = there[name]
        if positional is None or now is None:
            continue
        if now[: len(positional)] != positional:
            yield f"{name} takes ({', '.join(now)}), and took ({', '.join(positional)})"
        gone = keywords - others - set(now)
        if gone:
            yield f"{name} no longer takes {', '.join(sorted(gone))}"


def test_what_was_promised_is_there():
    pytest.importorskip("sklearn")
    pytest.importorskip("dask")
    assert len(PROMISED) > 300
    assert list(broken(PROMISED, api_pages.promised(), CHANGES)) == []


@pytest.mark.parametrize(
    ("found", "sentences"),
    [
        (["a.f(x, y, *, k)", "a.C"], []),
        (["a.f(x, y, z, *, k, more)", "a.C", "a.g()"], []),
        (["a.f(x, y, k)", "a.C"], []),
        (["a.f(x, *, k, y)", "a.C"], ["a.f takes (x), and took (x, y)"]),
        (["a.f(y, x, *, k)", "a.C"], ["a.f takes (y, x), and took (x, y)"]),
        (["a.f(x, y)", "a.C"], ["a.f no longer takes k"]),
        (["a.f(x, y, *, k)"], ["a.C is gone"]),
    ],
)
def test_a_broken_promise_is_found(found, sentences):
    assert list(broken(["a.f(x, y, *, k)", "a.C"], found, "")) == sentences


def test_what_the_change_log_removes_may_go():
    assert list(broken(["a.C"], [], "## 1\n\n### Removed\n\n- `a.C`, for `a.D`.\n\n## 0\n")) == []
    assert list(broken(["a.C"], [], "## 1\n\n### Added\n\n- `a.C`\n")) == ["a.C is gone"]


def test_the_citation_is_of_this_version():
    fields = dict(
        line.split(": ", 1)
        for line in (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
        if re.match(r"[\w-]+: \S", line)
    )
    assert fields["cff-version"] == "1.2.0"
    assert fields["version"] == crossmodal_fast.__version__
    assert fields["license"] == "Apache-2.0"
    assert {"message", "title", "type"} <= set(fields)
