"""No call in the package runs what it is given: no eval, no shell, no pickle, no connection. Each check is on trial."""

import ast
from pathlib import Path

import pytest

import crossmodal_fast
from crossmodal_fast.kernels.tiles import jit

ROOTS = Path(crossmodal_fast.__file__).parent, jit.KERNELS
CALLS = {  # that run what they are given, or load what runs
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "os.execvp", "os.spawnv",
    "os.startfile", "torch.load", "yaml.load", "pandas.read_pickle", "joblib.load", "np.fromregex",
}  # fmt: skip
MODULES = {  # that run programs or pickles, or open connections
    "pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "subprocess", "pty", "socket", "ssl", "http",
    "urllib", "requests", "ftplib", "smtplib", "xmlrpc", "telnetlib", "code", "codeop",
}  # fmt: skip
ALLOWED = {
    ("kernels/tiles/jit.py", "imports pickle"),  # its own files alone: SECURITY.md
}
NUMPY = {"load": False, "save": False, "read_array": False, "write_array": False}  # what allow_pickle has to be
PICKLING = {"savez", "savez_compressed"}  # would pickle objects


def faults(tree):
    """(line, what it does)"""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, f"imports {name.name}") for name in node.names if top(name.name) in MODULES)
        elif isinstance(node, ast.ImportFrom) and not node.level and top(node.module) in MODULES:
            yield node.lineno, f"imports {node.module}"
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in CALLS:
                yield node.lineno, f"calls {name}"
            module, _, function = name.rpartition(".")
            if module in ("np", "numpy") and function in PICKLING:
                yield node.lineno, f"calls {name}, which pickles objects"
            if module in ("np", "numpy", "layout", "format") and function in NUMPY:
                given = {keyword.arg: keyword.value for keyword in node.keywords}.get("allow_pickle")
                if not isinstance(given, ast.Constant) or given.value is not False:
                    yield node.lineno, f"calls {name} without allow_pickle=False"
            for keyword in node.keywords:
                if keyword.arg in ("shell", "allow_pickle") and getattr(keyword.value, "value", None) is True:
                    yield node.lineno, f"calls {name} with {keyword.arg}=True"


def top(module):
    return (module or "").partition(".")[0]


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.name)
def test_nothing_runs_what_is_handed_in(root):
    found = [
        (f"{root.name}/{path.relative_to(root).as_posix()}", said)
        for path in sorted(root.rglob("*.py"))
        for _, said in faults(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not [fault for fault in found if (fault[0].removeprefix("crossmodal_fast/"), fault[1]) not in ALLOWED]


@pytest.mark.parametrize(
    "code",
    [
        "eval(text)", "import pickle", "from pickle import loads", "import urllib.request", "os.system(name)",
        "np.load(path)", "np.load(path, allow_pickle=True)", "np.load(path, allow_pickle=given)", "np.savez(file)",
        "subprocess.run(name, shell=True)", "layout.read_array(stream)", "torch.load(path)", "import subprocess as run",
    ],
)  # fmt: skip
def test_the_check_can_say_no(code):
    assert list(faults(ast.parse(code)))


def test_the_check_can_say_yes():
    code = (
        "np.load(path, allow_pickle=False); model.eval(); ast.literal_eval(text); from . import code; re.compile(text)"
    )
    assert not list(faults(ast.parse(code)))
