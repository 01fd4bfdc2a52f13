"""`import crossmodal_fast` is light, has no side effects and gives the public names."""

import ast
import json
import re
import subprocess
import sys

import pytest

from project import ROOT, project_files

PUBLIC = {
    "BackendUnavailable", "CrossModalPipeline", "Gallery", "LogSums", "Matches", "TransferMap", "backends", "config",
    "config_context", "evaluate", "fit_transfer", "fusion", "match", "pairwise_distances", "preprocess", "ranks",
    "similarity", "topk", "topk_both", "transfer", "use_backend", "warmup", "within",
}  # fmt: skip
HEAVY = {
    "cupy", "dask", "jax", "keras", "llvmlite", "matplotlib", "ml_dtypes", "numba", "pandas", "pyarrow", "rich",
    "safetensors", "scipy", "sentence_transformers", "sklearn", "tensorflow", "torch", "transformers", "typer",
}  # fmt: skip
IMPORT_SECONDS = 0.25  # on top of numpy; processor time, so that a busy machine does not count

PROBE = """
import json, os, sys, threading, time
import numpy

def tasks():
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else threading.active_count()

before, environment, start = tasks(), dict(os.environ), time.process_time()
import crossmodal_fast
seconds = time.process_time() - start
first = sorted({name.partition(".")[0] for name in sys.modules})
public = {name: getattr(crossmodal_fast, name, None) is not None for name in crossmodal_fast.__all__}
print(json.dumps({
    "seconds": seconds,
    "threads": tasks() - before,
    "environment": environment == dict(os.environ),
    "first": first,
    "public": public,
    "afterwards": sorted({name.partition(".")[0] for name in sys.modules}),
    "dir": dir(crossmodal_fast),
}))
"""


def probed():
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROBE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def probe():
    return probed()


def test_import_loads_nothing_heavy(probe):
    assert HEAVY.isdisjoint(probe["first"]), HEAVY.intersection(probe["first"])


def test_naming_everything_public_loads_nothing_heavy(probe):
    assert HEAVY.isdisjoint(probe["afterwards"]), HEAVY.intersection(probe["afterwards"])


def test_import_starts_no_thread_and_leaves_the_environment_alone(probe):
    assert probe["threads"] == 0
    assert probe["environment"]


def test_import_is_quick(probe):
    assert min(probe["seconds"], probed()["seconds"], probed()["seconds"]) < IMPORT_SECONDS


def test_public_names_exist_and_are_listed(probe):
    assert set(probe["public"]) >= PUBLIC, PUBLIC.difference(probe["public"])
    assert all(probe["public"].values()), probe["public"]
    assert PUBLIC.issubset(probe["dir"]), PUBLIC.difference(probe["dir"])


def imported(source):
    """Every module that a file imports, at any depth, relative imports left out."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module


NEAR_AN_IMPORT = re.compile(r"(import|from|,)[\s\\]+kernels\b|,kernels\b")


def imports_kernels_by_folder(source):
    return any(name.partition(".")[0] == "kernels" for name in imported(source))


@pytest.mark.parametrize(
    "line",
    ["import kernels.topk", "from kernels import topk", "def f():\n    import kernels as k", "import os, kernels"],
)
def test_a_folder_import_is_found(line):
    assert imports_kernels_by_folder(line)
    assert NEAR_AN_IMPORT.search(line)
    assert not imports_kernels_by_folder(line.replace("kernels", "crossmodal_fast.kernels"))


def test_kernels_are_never_imported_by_their_folder():
    sources = {path: (ROOT / path).read_text(encoding="utf-8") for path in project_files() if path.suffix == ".py"}
    guilty = [
        str(path)
        for path, source in sources.items()
        if NEAR_AN_IMPORT.search(source) and imports_kernels_by_folder(source)  # to parse all takes 2 s
    ]
    assert guilty == []
    loaded = sys.modules.get("kernels")  # transformers brings a library of that name
    assert loaded is None or "site-packages" in loaded.__file__
