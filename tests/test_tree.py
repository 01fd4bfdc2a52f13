"""The tree is the registry: what the house style makes countable, and a trial of every check.

A check takes the root of a tree and its files and yields one sentence per fault.
"""

import ast
import re
from pathlib import Path

import pytest

from project import ROOT, project_files

BACKEND_FILES = ("cpu_numpy.py", "cpu_numba.py", "gpu_cuda.py")
KERNEL_FILES = ("cpu_numpy.py", "cpu_numba.py")  # and every .cu; gpu_cuda.py only launches
HEADER_WORDS = ("Work", "Shapes", "Cost", "Sum")
SHADOWING = {"numpy.py", "numba.py", "cupy.py", "scipy.py"}
MAX_LINES = 500
MAX_DISPATCH_LINES = 80
GENERATORS = ("default_rng", "RandomState", "SeedSequence", "random.Random")  # seeded by their argument alone
GLOBAL_NUMPY_RANDOM = re.compile(r"(?:np|numpy)\.random\.(?!default_rng)[a-z]\w*")
GLOBAL_RANDOM = re.compile(rf"{GLOBAL_NUMPY_RANDOM.pattern}|random\.[a-z]\w*")
LOCAL_PATH = re.compile(r"(?<![\w.$}~/])/(?:root|home|work|opt|Users)/\w|[A-Z]:\\Users")
REGISTRY = re.compile(r"(?:files\.pythonhosted|download\.pytorch|test\.pypi|[/.]pypi)\.org")
TEXT = {".c", ".cfg", ".cu", ".cuh", ".jsonl", ".md", ".py", ".toml", ".txt", ".yaml", ".yml", ""}


def read(root, path):
    return (root / path).read_text(encoding="utf-8")


def tree_of(root, path):
    return ast.parse(read(root, path), filename=str(path))


def operations(files):
    """The folders of `kernels/` that are an operation: all but the shared engine."""
    return sorted({path.parts[1] for path in files if path.parts[0] == "kernels" and len(path.parts) > 2} - {"tiles"})


def operation_folders(root, files):
    for operation in operations(files):
        for name in ("__init__.py", "reference.py", "cpu_numpy.py"):
            path = Path("kernels", operation, name)
            if path not in files:
                yield f"{path} is missing"
            elif name != "__init__.py" and not any(known.startswith(operation) for known in functions(root, path)):
                yield f"{path} does not define {operation}"


def contracts(root, files):
    for operation in operations(files):
        path = Path("kernels", operation, "__init__.py")
        if path in files:
            module = tree_of(root, path)
            if ast.get_docstring(module) is None or len(module.body) != 1:
                yield f"{path} must hold a docstring and no code"


def functions(root, path):
    """Public functions of a file: name -> signature without annotations."""
    found = {}
    for node in tree_of(root, path).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            for argument in ast.walk(node.args):
                if isinstance(argument, ast.arg):
                    argument.annotation = None
            found[node.name] = ast.unparse(node.args)
    return found


def twins(root, files):
    for operation in operations(files):
        first = {}
        for name in BACKEND_FILES:
            path = Path("kernels", operation, name)
            if path in files:
                for function, signature in functions(root, path).items():
                    known, where = first.setdefault(function, (signature, path))
                    if signature != known:
                        yield f"{path}: {function}({signature}), but {where} has ({known})"


def references(root, files):
    for path in files:
        if path.name == "reference.py":
            for module in imports(tree_of(root, path)):
                if module.partition(".")[0] != "numpy" and module != "..tiles.reference":
                    yield f"{path} imports {module}, must import numpy and the law of values only"


def imports(module):
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (argument.value for argument in node.args if isinstance(argument, ast.Constant))


def headers(root, files):
    for path in files:
        if path.parts[0] == "kernels" and (path.name in KERNEL_FILES or path.suffix == ".cu"):
            text, cuda = read(root, path), path.suffix == ".cu"
            header = text if cuda else ast.get_docstring(ast.parse(text)) or ""
            for word in (*HEADER_WORDS, "Launch") if cuda else HEADER_WORDS:
                if not re.search(rf"^(?://)?\s*{word}\b", header, re.MULTILINE):
                    yield f"{path} has no line {word} in its header"


def cuda_kernels(root, files):
    for path in files:
        if path.parts[0] == "kernels" and path.suffix == ".cu":
            text = read(root, path)
            if len(re.findall(r"^\s*(?:extern \"C\" )?__global__", text, re.M)) != 1:
                yield f"{path} must hold one __global__ function"
            if path.name != "gpu_cuda.cu" and not re.search(rf"\b{path.stem}\(", text):
                yield f"{path} does not define {path.stem}"


def dispatch(root, files):
    for path in files:
        if path == Path("crossmodal_fast/_dispatch.py"):
            lines = len(read(root, path).splitlines())
            if lines > MAX_DISPATCH_LINES:
                yield f"{path} has {lines} lines, at most {MAX_DISPATCH_LINES} are allowed"
        elif path.parts[0] == "crossmodal_fast" and path.suffix == ".py":
            for module in imports(tree_of(root, path)):
                if module.partition(".")[0] in ("cupy", "cupyx"):
                    yield f"{path} imports {module}, only _dispatch.py may"


def honest_tests(root, files):
    for path in files:
        if path.parts[0] not in ("tests", "benchmarks") or path.suffix != ".py":
            continue
        module = tree_of(root, path)
        global_random = GLOBAL_RANDOM if "random" in imports(module) else GLOBAL_NUMPY_RANDOM
        for node in ast.walk(module):
            if isinstance(node, ast.ExceptHandler) and catches_everything(node):
                yield f"{path}:{node.lineno} catches every exception"
            elif isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                without_seed = name.endswith(GENERATORS) and not node.args and not node.keywords
                if without_seed or global_random.fullmatch(name):
                    yield f"{path}:{node.lineno} draws unseeded random numbers with {name}()"


def catches_everything(handler):
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(ast.unparse(kind) in ("Exception", "BaseException") for kind in kinds)


def file_names(root, files):
    for path in files:
        if path.name in SHADOWING:
            yield f"{path} shadows the library of that name when it is run as a script"


def local_paths(root, files):
    for path in files:
        if path.suffix in TEXT and path.name != "LICENSE":
            for number, line in enumerate(read(root, path).splitlines(), start=1):
                if LOCAL_PATH.search(line) or REGISTRY.search(line):
                    yield f"{path}:{number} names a place that only some machines have: {line.strip()[:80]}"


def lengths(root, files):
    for path in files:
        if path.suffix in (".py", ".cu", ".cuh"):
            lines = len(read(root, path).splitlines())
            if lines > MAX_LINES:
                yield f"{path} has {lines} lines, at most {MAX_LINES} are allowed"


CHECKS = [
    operation_folders, contracts, twins, references, headers, cuda_kernels, dispatch, honest_tests, file_names,
    local_paths, lengths,
]  # fmt: skip


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_tree(check):
    assert list(check(ROOT, project_files())) == []


def test_the_tree_is_seen():
    assert {"pairwise", "topk", "transfer"} <= set(operations(project_files()))
    assert {Path("crossmodal_fast/_dispatch.py"), Path("tests/test_tree.py"), Path("Makefile")} <= set(project_files())


HEADER = '"""Scan.\n\nWork    a\nShapes  b\nCost    c\nSum     d\n"""\n'
CUDA_HEADER = "// Work  a\n// Shapes b\n// Launch c\n// Cost d\n// Sum e\n"
SOUND = {
    "crossmodal_fast/_dispatch.py": "import cupy\n",
    "crossmodal_fast/cli.py": "import numpy\n",
    "kernels/scan/__init__.py": '"""Contract."""\n',
    "kernels/scan/reference.py": "import numpy as np\n\n\ndef scan(x):\n    return x\n",
    "kernels/scan/cpu_numpy.py": HEADER + "def scan(x_md, *, k: int = 1):\n    return x_md\n",
    "kernels/scan/cpu_numba.py": HEADER
    + "def scan(x_md, *, k=1):\n    return _help(x_md)\n\n\ndef _help(x):\n    return x\n",
    "kernels/scan/gpu_cuda.cu": CUDA_HEADER + "__global__ void scan() {}\n",
    "kernels/tiles/cuda/order.cu": CUDA_HEADER + 'extern "C" __global__ void order() {}\n',
    "kernels/scan/gpu_cuda.py": "def scan(x_md, *, k=1):\n    return x_md\n",
    "kernels/tiles/anything.py": "import scipy\n",
    "tests/test_scan.py": "import numpy as np\n\nrandom = np.random.default_rng(7)\nrandom.normal(size=3)\n",
    "README.md": "Run `/usr/bin/env python`, see [home](docs/work/notes.md).\n",
}

FAULTS = [
    (operation_folders, "kernels/scan/reference.py", None, "kernels/scan/reference.py is missing"),
    (operation_folders, "kernels/scan/reference.py", "def f():\n    pass\n", "scan/reference.py does not define scan"),
    (operation_folders, "kernels/scan/cpu_numpy.py", HEADER, "kernels/scan/cpu_numpy.py does not define scan"),
    (contracts, "kernels/scan/__init__.py", '"""Contract."""\nX = 1\n', "must hold a docstring and no code"),
    (contracts, "kernels/scan/__init__.py", "", "must hold a docstring and no code"),
    (
        twins,
        "kernels/scan/cpu_numba.py",
        "def scan(x_md, *, k=2):\n    pass\n",
        "cpu_numba.py: scan(x_md, *, k=2), but",
    ),
    (twins, "kernels/scan/gpu_cuda.py", "def scan(x_nd, *, k=1):\n    pass\n", "gpu_cuda.py: scan(x_nd, *, k=1), but"),
    (
        references,
        "kernels/scan/reference.py",
        "import numpy\nfrom scipy import linalg\n",
        "imports scipy, must import numpy",
    ),
    (
        references,
        "kernels/scan/reference.py",
        "from . import cpu_numpy\n",
        "imports ., must import numpy and the law of values only",
    ),
    (headers, "kernels/scan/cpu_numpy.py", HEADER.replace("Sum", "Total"), "has no line Sum in its header"),
    (headers, "kernels/scan/gpu_cuda.cu", "__global__ void scan() {}\n", "gpu_cuda.cu has no line Work in its header"),
    (headers, "kernels/tiles/cuda/order.cu", CUDA_HEADER.replace("Launch", ""), "order.cu has no line Launch in its"),
    (cuda_kernels, "kernels/scan/gpu_cuda.cu", "__global__ void a() {}\n__global__ void b() {}\n", "one __global__"),
    (cuda_kernels, "kernels/tiles/cuda/order.cu", "__global__ void sort() {}\n", "order.cu does not define order"),
    (dispatch, "crossmodal_fast/_dispatch.py", "\n" * 81, "has 81 lines, at most 80 are allowed"),
    (
        dispatch,
        "crossmodal_fast/cli.py",
        "def f():\n    import cupy.cuda\n",
        "cli.py imports cupy.cuda, only _dispatch.py",
    ),
    (dispatch, "crossmodal_fast/cli.py", "import importlib\nimportlib.import_module('cupy')\n", "imports cupy, only"),
    (
        honest_tests,
        "tests/test_scan.py",
        "try:\n    pass\nexcept (OSError, Exception):\n    pass\n",
        ":3 catches every",
    ),
    (honest_tests, "tests/test_scan.py", "try:\n    pass\nexcept:\n    pass\n", ":3 catches every exception"),
    (honest_tests, "tests/test_scan.py", "np.random.default_rng().normal()\n", "numbers with np.random.default_rng()"),
    (honest_tests, "tests/test_scan.py", "np.random.standard_normal(3)\n", "with np.random.standard_normal()"),
    (honest_tests, "tests/test_scan.py", "import random\nrandom.shuffle([])\n", ":2 draws unseeded random numbers"),
    (file_names, "kernels/scan/numpy.py", "", "kernels/scan/numpy.py shadows the library"),
    (local_paths, "README.md", "Look in " + "/".join(["", "home", "me", "data"]) + "\n", "README.md:1 names a place"),
    (
        local_paths,
        "tests/test_scan.py",
        "X = 1\nY = '" + "/".join(["", "work", "main"]) + "'\n",
        "test_scan.py:2 names",
    ),
    (local_paths, "README.md", "pip install --index-url https://pypi" + ".org/simple x\n", "README.md:1 names a place"),
    (lengths, "kernels/tiles/anything.py", "\n" * 501, "anything.py has 501 lines, at most 500 are allowed"),
]


def planted(root, changes):
    files = {name: text for name, text in (SOUND | changes).items() if text is not None}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return sorted(map(Path, files))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_tree_passes(check, tmp_path):
    assert list(check(tmp_path, planted(tmp_path, {}))) == []


@pytest.mark.parametrize(("check", "name", "text", "sentence"), FAULTS)
def test_a_check_can_say_no(check, name, text, sentence, tmp_path):
    faults = list(check(tmp_path, planted(tmp_path, {name: text})))
    assert [fault for fault in faults if sentence in fault], faults


def test_every_check_is_on_trial():
    assert {check for check, *_ in FAULTS} == set(CHECKS)
