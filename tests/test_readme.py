"""README.md and docs/ say what is true: their code runs and shows what they show, the names in them exist."""

import ast
import contextlib
import re
import shlex

import pytest

import crossmodal_fast
from crossmodal_fast import _dispatch, cli
from pages import BLOCK, blocks, faults
from project import ROOT, extras, project_files

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path: (ROOT / path).read_text(encoding="utf-8") for path in project_files() if path.suffix == ".md"}
LANGUAGES = {"python", "sh", "bash"}  # run here; run here; only looked at: it installs
OF_THE_MACHINE = "cmf.backends()"  # says other things where CuPy is installed
LINK = re.compile(r"\]\(([^)#:]+)\)")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder in which all Python blocks ran one after another, and the faults."""
    folder = tmp_path_factory.mktemp("readme")
    with contextlib.chdir(folder):
        namespace, found = {}, []
        for code in blocks(README, "python"):
            known = OF_THE_MACHINE not in code or not _dispatch.found("cupy")
            found += [fault for fault in faults(code, namespace) if known]
    return folder, found


def test_python_blocks_run_and_show_what_they_say(ran):
    assert ran[1] == []


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("1 + 1  # 2\n", None),
        ("1 + 1  # 3\n", "1 + 1 gives '2', not ['3']"),
        ("print(5)\n# 5\n", None),
        ("print(5)\n# 6\n", "print(5) gives '5\\n', not ['6']"),
        ("[1,\n 2]  # [1, 2]\n", None),
        ("x = 1  # a note\n", None),
        ("print(1)\n\n# a note\nx = 1\n", None),
    ],
)
def test_a_wrong_comment_is_found(code, fault):
    assert list(faults(code, {})) == ([] if fault is None else [fault])


def test_every_block_is_run_or_checked():
    fences = len(re.findall(r"^```", README, re.MULTILINE))
    assert fences == 2 * len(BLOCK.findall(README))
    assert {language for language, _ in BLOCK.findall(README)} == LANGUAGES


def test_commands_run(ran, capsys):
    commands = [line for code in blocks(README, "sh") for line in code.splitlines()]
    assert len(commands) > 3
    for line in commands:
        program, *words = shlex.split(line)
        assert program == "crossmodal-fast", line
        with contextlib.chdir(ran[0]):  # in this process: tests/test_cli.py starts it as users do
            code = cli.main(words)
        complaint = capsys.readouterr().err
        assert (code, complaint) == (0, ""), f"{line}: {complaint}"
        if "-o" in words:
            assert (ran[0] / words[words.index("-o") + 1]).stat().st_size > 0, line


def test_installation_names_what_can_be_installed():
    lines = [line.split(" #")[0].strip() for code in blocks(README, "bash") for line in code.splitlines()]
    assert all(re.fullmatch(r"pip install (\.|'?crossmodal-fast(\[\w+\])?'?)", line) for line in lines), lines
    for page, text in PAGES.items():
        for named in re.findall(r"crossmodal-fast\[([\w,]+)\]", text):
            assert set(named.split(",")) <= extras(), f"{page} names the extra {named}"


def test_every_public_name_is_explained():
    text = README + "".join(text for page, text in PAGES.items() if page.parts[0] == "docs")
    missing = [name for name in crossmodal_fast.__all__ if not re.search(rf"\b{name}\b", text)]
    assert missing == []


def test_links_lead_to_files():
    broken = [
        f"{page} -> {link}"
        for page, text in PAGES.items()
        for link in LINK.findall(text)
        if not (ROOT / page.parent / link).exists()
    ]
    assert broken == []


def test_the_markers_for_generated_parts_are_there_once_each_and_in_order():
    places = [README.find(marker) for marker in ("<!-- demo output -->", "<!-- benchmark table -->", "<!-- end -->")]
    assert -1 not in places
    assert places == sorted(places)
    assert README.count("<!--") == 3


def unknown_names(page):
    """Rows | step | `file` | `name` .. | of a page whose file or names do not exist."""
    for file, names in re.findall(r"^\|[^|]+\| `([\w/]+\.py)` \| ([^|]+) \|$", page, re.MULTILINE):
        if not (ROOT / file).exists():
            yield f"{file} does not exist"
            continue
        known = set()
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                known.add(node.name)
            elif isinstance(node, ast.Assign):
                known |= {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
        for name in re.findall(r"`(\w+)`", names):
            if name not in known:
                yield f"{file} has no {name}"


def test_the_proof_names_code_that_exists():
    page = (ROOT / "docs" / "exactness.md").read_text(encoding="utf-8")
    assert page.count("| `kernels/") > 8
    assert list(unknown_names(page)) == []


def test_a_wrong_name_in_the_proof_is_found():
    assert list(unknown_names("| a | `kernels/tiles/encode.py` | `growth` `shrink` |\n")) == [
        "kernels/tiles/encode.py has no shrink"
    ]
    assert list(unknown_names("| a | `kernels/none.py` | `growth` |\n")) == ["kernels/none.py does not exist"]
