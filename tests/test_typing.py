"""Who has his types checked gets ours: mypy --strict and basedpyright, on code of a user.

They see the package as installed ones are seen, in an environment of its own, by its py.typed.
"""

import ast
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import api_pages
import pytest

import crossmodal_fast
from project import ROOT

CONSUMER = ROOT / "tests" / "consumer.py"
FAULTS = {
    "found = cmf.topk([[1.0]], [[1.0]], k='five')": ("call-overload", "reportArgumentType"),
    "cmf.no_such_name": ("attr-defined", "reportAttributeAccessIssue"),
    "cmf.topk([[1.0]], [[1.0]], k=1, precison='int8')": ("call-overload", "reportCallIssue"),
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A Python whose packages are ours and those of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=sys.platform != "win32")
    names = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", vars=names))
    (site / "crossmodal_fast").symlink_to(ROOT / "crossmodal_fast", target_is_directory=True)
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return Path(sysconfig.get_path("scripts", "venv", vars=names)) / Path(sys.executable).name


def named(dotted):
    """The `__all__` of a module, read and not run: some take seconds to import."""
    path = importlib.util.find_spec(dotted).origin
    for node in ast.parse(Path(path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return []


def imports():
    """An import of every public name of all modules."""
    for dotted in api_pages.modules():
        prefix = dotted.replace(".", "_")
        names = [f"{name} as {prefix}_{name}" for name in named(dotted)]
        if names:
            yield f"from {dotted} import {', '.join(names)}"


@pytest.fixture(scope="module")
def complaints(environment, tmp_path_factory):
    """What mypy says of three files of a user: lines by file. One run, 8 s of a core."""
    folder = tmp_path_factory.mktemp("user")
    faulty = "\n".join(["import crossmodal_fast as cmf", *FAULTS])
    texts = {"sound": CONSUMER.read_text(encoding="utf-8"), "names": "\n".join(imports()), "faulty": faulty}
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text + "\n", encoding="utf-8")
    options = ["--strict", "--no-error-summary", "--config-file", "", "--python-executable", str(environment)]
    command = [sys.executable, "-m", "mypy", *options, "--cache-dir", "cache", *(f"{name}.py" for name in texts)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    return {name: [line for line in lines if line.startswith(f"{name}.py:")] for name in texts}


def test_the_user_names_everything_public():
    text = CONSUMER.read_text(encoding="utf-8")
    assert [name for name in crossmodal_fast.__all__ if not re.search(rf"\b{name}\b", text)] == []


def test_mypy_is_content(complaints):
    assert complaints["sound"] == []


def test_every_public_name_of_every_module_is_known_without_running_anything(complaints):
    assert complaints["names"] == []


def test_mypy_finds_what_is_wrong(complaints):
    for number, (line, (code, _)) in enumerate(FAULTS.items(), start=2):
        found = [each for each in complaints["faulty"] if each.startswith(f"faulty.py:{number}: error")]
        assert any(f"[{code}]" in each for each in found), line


def test_pyright_is_content_and_finds_what_is_wrong(environment, tmp_path):
    pytest.importorskip("basedpyright")
    shutil.copy(CONSUMER, tmp_path / "user.py")
    for number, line in enumerate(FAULTS):
        (tmp_path / f"fault{number}.py").write_text(f"import crossmodal_fast as cmf\n\n{line}\n", encoding="utf-8")
    options = ["--pythonpath", str(environment), "--level", "error", "--outputjson", "."]
    command = [sys.executable, "-m", "basedpyright", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] == 1 + len(FAULTS)
    rules = {f"fault{number}": [rule] for number, (_, rule) in enumerate(FAULTS.values())} | {"user": []}
    told = {name: [] for name in rules}
    for each in found["generalDiagnostics"]:
        told[Path(each["file"]).stem].append(each["rule"])
    assert told == rules
