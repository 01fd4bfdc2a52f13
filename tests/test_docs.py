"""docs/: every Python block runs, each page by itself, and shows what it says; the pages that are made can be made.

A block that only a peer can run skips its page where the peer is absent. `make docs` builds the site, and a heavy test.
"""

import contextlib
import importlib.util
import inspect
import json
import re
import subprocess
import sys

import api_pages
import benchmark_pages
import build_site
import command_pages
import docstrings
import gpu_table
import notebook_pages
import pytest

import crossmodal_fast
from pages import BLOCK, blocks, faults
from project import ROOT, project_files

FOLDER = ROOT / "docs"
PAGES = [
    path.relative_to("docs").as_posix() for path in project_files() if path.parts[0] == "docs" and path.suffix == ".md"
]
LANGUAGES = {"python", "py", "bash", "sh", "text"}  # run here; Python for a machine that the tests have not; the rest


def run(text, folder):
    """Faults of a page's blocks, one namespace for all of them."""
    found, namespace = [], {}
    with contextlib.chdir(folder):
        for code in blocks(text, "python"):
            found += faults(code, namespace)
    return found


def read(page):
    return (FOLDER / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(read(page), "python")])
def test_python_blocks_run_and_show_what_they_say(page, tmp_path):
    try:
        found = run(read(page), tmp_path)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("crossmodal_fast", "numpy", "scipy"):
            raise
        pytest.skip(f"{error.name} is not installed")
    assert found == []


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_of_a_known_kind(page):
    assert {language for language, _ in BLOCK.findall(read(page))} <= LANGUAGES


def test_a_wrong_page_is_found(tmp_path):
    assert run("```python\nx = 1\n```\n\n```python\nx + 1  # 3\n```\n", tmp_path) == ["x + 1 gives '2', not ['3']"]
    with pytest.raises(ModuleNotFoundError):
        run("```python\nimport no_such_module\n```\n", tmp_path)


# ---- the notebook

NOTEBOOKS = sorted(notebook_pages.FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run_and_say_what_is_stored(path):
    pytest.importorskip("matplotlib")
    notebook = notebook_pages.read(path)
    stored = [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    found = notebook_pages.run(notebook)
    assert [*map(notebook_pages.said, found)] == [*map(notebook_pages.said, stored)]
    assert any(said == ["picture"] for said in map(notebook_pages.said, found))


def test_a_notebook_that_says_something_else_is_found():
    cell = {"cell_type": "code", "source": ["print(1)\n", "1 + 1"]}
    (outputs,) = notebook_pages.run({"cells": [cell]})
    assert notebook_pages.said(outputs) == ["1\n", "2"]


def test_a_notebook_as_a_page(tmp_path):
    (path, *_) = NOTEBOOKS
    page = notebook_pages.page(notebook_pages.read(path), "it", tmp_path)
    assert page.startswith("# ")
    pictures = [*tmp_path.iterdir()]
    assert pictures
    assert all(f"]({picture.name})" in page for picture in pictures)
    assert pictures[0].read_bytes().startswith(b"\x89PNG")


# ---- the API


def test_every_public_name_has_its_place_in_the_api():
    pytest.importorskip("sklearn")
    found = [name for _, name, written in api_pages.entries() if written.startswith(".. ")]
    things = [name for name in crossmodal_fast.__all__ if not inspect.ismodule(getattr(crossmodal_fast, name))]
    assert set(things) <= set(found)
    assert {"retrieval", "Chain", "correction", "IndexFlatL2", "semantic_search", "read_embeddings"} <= set(found)
    assert found.count("TransferMap") == 1


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["|x||y| and `|z|`"], [r"\|x\|\|y\| and `|z|`"]),
        (["Text.", "", "    a |b|", "", "More."], ["Text.", "", "::", "", "    a |b|", "", "More."]),
        (["a : one", "    more", "b : two", "and on"], ["- a : one", "  more", "- b : two", "  and on"]),
        (["Text.", "a : one", "", "More."], ["Text.", "", "- a : one", "", "More."]),
        (["T.", "", "    a : b", "", "b : c"], ["T.", "", "::", "", "    a : b", "", "- b : c"]),
        (
            ["T.", "", "Returns", "-------", "dict", "    a : b", "        and on", "    c_ : d"],
            ["T.", "", "Returns", "-------", "dict", "", "    - a : b", "      and on", r"    - c\_ : d"],
        ),
        (["T.", "", "Parameters", "----------", "x : int"], ["T.", "", "Parameters", "----------", "x : int"]),
        ([">>> a_ | b"], [">>> a_ | b"]),
        (["x_ and `y_` of a_b"], [r"x\_ and `y_` of a_b"]),
        (["T.", "", "Attributes", "----------", "x_ : as y_"], ["T.", "", "Attributes", "----------", r"x_ : as y\_"]),
    ],
)
def test_docstrings_become_restructured_text(lines, expected):
    assert docstrings.readable(lines) == expected


# ---- links


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("a.md", "[a](stability.md) and [b](notebooks/hubs.ipynb)", "[a](stability.md) and [b](notebooks/hubs.md)"),
        ("from/a.md", "[a](../stability.md)", "[a](../stability.md)"),
        ("a.md", "[rows](../benchmarks/results)", "[rows](benchmarks/index.md)"),
        ("from/a.md", "[rows](../../benchmarks/results/a.md)", "[rows](../benchmarks/index.md)"),
        ("a.md", "[`setup.py`](../setup.py)", "`setup.py`"),
        ("a.md", "[semantic](https://semver.org)", "[semantic](https://semver.org)"),
    ],
)
def test_links_stay_on_the_site(page, link, expected):
    assert build_site.within(FOLDER / page, link) == expected


def test_the_commands_that_show_the_promises_are_there():
    """Targets of the Makefile, and files."""
    page = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {name for line in re.findall(r"^([a-z -]+):", makefile, re.MULTILINE) for name in line.split()}
    asked = {word for line in re.findall(r"`make ([^`]+)`", page) for word in line.split() if "=" not in word}
    assert {"bench", "fuzz", "soak", "test-all"} <= asked <= targets
    files = re.findall(r"(?:tests|benchmarks)/\w+\.\w+", page)
    assert len(files) > 15
    assert [name for name in files if not (ROOT / name).is_file()] == []


# ---- the command line


def test_every_command_has_its_options_on_the_page(tmp_path):
    command_pages.write(tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    found = dict(command_pages.commands())
    assert {"crossmodal-fast match", "crossmodal-fast info", "crossmodal-fast transfer fit"} <= set(found)
    assert "| `--json` | The same as one JSON object. |  |" in page
    for name, command in found.items():
        (section,) = (part for part in page.split("\n## ") if part.startswith(f"{name}\n"))
        assert section.count("\n| `") == len(command.params), name
        assert all(f"`{option}`" in section for each in command.params for option in each.opts if option[0] == "-")


# ---- the benchmarks

STORED = sorted(benchmark_pages.RESULTS.glob("nvidia-*.json"))


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_a_page_of_gpu_rows_has_them_all(path):
    stored = json.loads(path.read_text(encoding="utf-8"))
    page = benchmark_pages.gpu_page(stored, "picture.svg")
    assert page.startswith(f"# {stored['gpu']}, {stored['date']}")
    timed = [row for row in stored["rows"] if "ms" in row]
    assert sum(line.startswith(f"| {row['contender']} |") for row in timed for line in page.splitlines()) >= len(timed)
    assert all(f"Not timed: {row['contender']}: " in page for row in stored["rows"] if row not in timed)
    assert page.count("\n## ") == len(gpu_table.by_case(stored["rows"]))
    assert all(f"{row['ms']:,.3g} |" in page for row in timed)
    staged = [row for row in timed if "stages_ms" in row]
    assert page.count("\n| stage |") == len(staged) > 1
    for row in staged:
        floors = {stage: gpu_table.floor(row, stage, stored | row) for stage in row["stages_ms"]}
        # the peak is that of a minute before, and a card's own varies by a tenth
        assert all(least <= 1.15 * row["stages_ms"][stage] for stage, least in floors.items() if least), floors


@pytest.mark.heavy
def test_the_site_is_built_without_a_warning(tmp_path):
    for module in ("sphinx", "furo", "myst_parser", "numpydoc", "matplotlib"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    command = [sys.executable, str(FOLDER / "build_site.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    html = tmp_path / "html"
    assert "crossmodal_fast.topk" in (html / "api" / "crossmodal_fast.html").read_text(encoding="utf-8")
    assert "<svg" in "".join(path.read_text(encoding="utf-8") for path in (html / "_images").glob("*.svg"))
    for path in [*PAGES, "CHANGELOG.md", *(f"benchmarks/{stored.stem}.md" for stored in STORED)]:
        assert (html / path).with_suffix(".html").exists(), path
    loaded = [path for path in html.rglob("*.html") if 'src="http' in path.read_text(encoding="utf-8")]
    assert loaded == []  # nothing comes from elsewhere
