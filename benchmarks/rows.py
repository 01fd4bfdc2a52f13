"""Rows of results: one JSON object a line in `results/<machine>-<date>.jsonl`, each with all it takes to judge it."""

import json
import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

FOLDER = Path(__file__).parent / "results"
LIBRARIES = (
    "crossmodal-fast", "numpy", "numba", "llvmlite", "scipy", "scikit-learn", "faiss-cpu", "torch", "numkong",
    "usearch", "pot", "ranx", "lapx", "pykeops",
)  # fmt: skip
THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
WITHOUT_FMA = {"generic", "katmai", "core2", "penryn", "nehalem", "sandybridge", "prescott", "bulldozer", "barcelona"}
FMA = re.compile("AVX2|AVX512|X86_V[34]|FMA3")
# What is timed, or times: not the rows, which a run adds to
TIMED = ("crossmodal_fast", "kernels", "benchmarks/*.py", "tests/cases.py", "tests/judge.py")
SHAPE = ("operation", "data", "m", "n", "d", "k", "maps")
ALWAYS = {*SHAPE, "contender", "backend", "machine", "versions", "commit", "date"}
OF_TIMED = {"ms", "spread", "rounds", "ratio", "error", "wrong"}
DIGITS = 4  # of a measured number: more would be noise


def described(case, contender, backend, call):
    """The columns that are known before anything runs."""
    return {
        "operation": case.operation,
        "contender": contender,
        "call": call,
        "backend": backend,
        "data": case.data,
        "m": case.m,
        "n": case.n,
        "d": case.d,
        "k": case.k,
        "maps": case.maps,
        "machine": machine(),
        "versions": versions(),
        "commit": commit(),
        "date": today(),
    }


def today():
    return f"{datetime.now(UTC):%Y-%m-%d}"


def record(row):
    """Append a row to the file of its machine and date."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{slug(row['machine'])}-{row['date']}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({name: rounded(value) for name, value in row.items()}) + "\n")


def rounded(value):
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def read(paths):
    """The rows of the files in order, a later one in place of an earlier one of the same contest."""
    latest = {}
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            row = parsed(line, f"{path.name}, line {number},")
            latest[contest(row)] = row
    return list(latest.values())


def parsed(line, place):
    """The row of a line; one that a killed run has left half written is named."""
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict) or not row.keys() >= (ALWAYS if "skipped" in row else ALWAYS | OF_TIMED):
        raise SystemExit(f"{place} must be a row of results, got {line[:60]!r}")
    return row


def contest(row):
    return (slug(row["machine"]), *shape(row), row["contender"], row["backend"])


def shape(row):
    return tuple(row[name] for name in SHAPE)


def slug(machine):
    return re.sub(r"[^a-z0-9]+", "-", f"{machine['cpu']} {machine['cores']} cores".lower()).strip("-")


@cache
def machine():
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    return {
        "cpu": processor(),
        "cores": THREADS,
        "simd": [*simd["baseline"], *simd["found"]][-1],
        "blas": blas(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def blas():
    """NumPy's BLAS and the kind of CPU that it takes this one for, or is told to by OPENBLAS_CORETYPE."""
    return described_blas(numpy_blas())


def described_blas(library):
    return " ".join(filter(None, map(library.get, ("internal_api", "version", "architecture"))))


@cache
def numpy_blas():
    """What threadpoolctl says of the BLAS that came with NumPy, or of the first one loaded; {} if there is none."""
    found = [library for library in threadpool_info() if library["user_api"] == "blas"]
    return min(found, key=lambda library: "numpy" not in library["filepath"].rpartition("site-packages")[2], default={})


def blas_loaded():
    """{who brought it: the BLAS and the kind of CPU it takes this one for}, for every BLAS in the process by now."""
    return {
        Path(library["filepath"]).parent.name.partition(".")[0]: described_blas(library)
        for library in threadpool_info()
        if library["user_api"] == "blas"
    }


def blas_doubt(library, simd):
    """Why NumPy's product would be no fair peer, in words: an OpenBLAS whose kernels are for a CPU without `simd`."""
    kind = library.get("architecture", "").lower()
    if library.get("internal_api") != "openblas" or kind not in WITHOUT_FMA or not FMA.search(simd):
        return None
    return (
        f"NumPy's OpenBLAS must use kernels for this CPU, which has {simd}, got those for {kind}; unset "
        f"OPENBLAS_CORETYPE, or set it to a newer one (Haswell, SkylakeX, Zen)"
    )


def processor():
    """Name of the CPU, with family and model where the name alone says little."""
    facts = Path("/proc/cpuinfo")
    if not facts.exists():
        return platform.processor() or platform.machine()
    found = dict(re.findall(r"^(model name|cpu family|model)\s*:\s*(.+)$", facts.read_text(), re.MULTILINE))
    if "model name" not in found:
        return platform.machine()
    return f"{found['model name']} family {found['cpu family']} model {found['model']}"


@cache
def versions():
    return {name: metadata.version(name) for name in LIBRARIES if installed(name)}


def installed(name):
    return any(metadata.distributions(name=name))


@cache
def commit():
    """Short name of the commit, with a + where what is timed, or times, differs from it; None outside a clone."""
    if not shutil.which("git"):
        return None
    git = ["git", "-C", str(Path(__file__).parents[1])]
    found = subprocess.run([*git, "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True)
    if found.returncode:
        return None
    same = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", *TIMED], check=False).returncode == 0
    return found.stdout.strip() + ("" if same else "+")
