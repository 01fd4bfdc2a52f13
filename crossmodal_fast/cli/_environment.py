"""What a report about this package has to say about its machine, as plain numbers and strings."""

import os
import platform
import stat
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import _dispatch, backends, config
from .._config import ENVIRONMENT
from ..kernels.tiles import pool

PACKAGES = (
    "crossmodal-fast", "numpy", "scipy", "numba", "llvmlite", "cupy-cuda12x", "cupy-cuda13x", "threadpoolctl",
    "array-api-compat", "ml_dtypes", "pyarrow", "safetensors", "rich", "typer", "scikit-learn", "matplotlib", "torch",
    "jax", "tensorflow", "dask", "distributed", "h5py", "zarr", "pandas", "faiss-cpu", "sentence-transformers",
    "transformers", "POT",
)  # fmt: skip
VARIABLES = (
    ENVIRONMENT, "CROSSMODAL_FAST_CACHE_DIR", *pool.ENVIRONMENT, "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
    "NUMBA_ENABLE_AVX", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_DISABLE_JIT", "CUDA_VISIBLE_DEVICES",
    "CUPY_CACHE_DIR", "CUPY_CACHE_IN_MEMORY",
)  # fmt: skip
CPU, MEMORY, GROUP_OR_OTHERS = Path("/proc/cpuinfo"), Path("/proc/meminfo"), 0o022
NVIDIA = Path("/proc/driver/nvidia")  # there with the driver, whether CuPy is installed or not
UNLIMITED = 1 << 20  # `pool.quota` without a limit


def environment() -> dict[str, Any]:
    """All of it. The home folder is written as ~: nobody's name is in a report. A bad variable is shown, not obeyed."""
    state = backends()
    found = {
        "system": platform.platform(),
        "python": f"{platform.python_version()}, {platform.python_implementation()}, {platform.architecture()[0]}",
        "packages": _versions(),
        "processor": _processor(),
        "simd": _simd(),
        "cores": _cores(),
        "memory_gib": _memory(),
        "blas": _blas(),
        "backends": state,
        "gpus": _gpus(state["cuda"] == "ready"),
        "cache": _cache(),
        "config": {name: _plain(value) for name, value in asdict(config).items()},
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }
    return {name: _without_home(value) for name, value in found.items()}


def _plain(value: Any) -> Any:
    return "a callable" if callable(value) else value


def _without_home(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_home(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_home(each) for each in value]
    home = os.path.expanduser("~").rstrip(os.sep)
    return value.replace(home + os.sep, "~" + os.sep) if isinstance(value, str) and home else value


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _lines(path: Path) -> dict[str, str]:
    """The lines `name: value` of a file of the system, the first of each name; none where it is not there."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in reversed(lines))}


def _processor() -> str:
    return _lines(CPU).get("model name") or platform.processor() or platform.machine()


def _simd() -> dict[str, Any] | None:
    """The register tiles that Numba's kernels take here, and what they need of the CPU; None without Numba."""
    if _dispatch.loaded("numba") is None:
        return None
    from ..kernels.tiles import simd

    machine = simd.runnable()[0]
    return {"kernels": machine.name, "bits": machine.bits, "features": list(machine.needs)}


def _cores() -> dict[str, Any]:
    quota = pool.quota()
    return {
        "machine": os.cpu_count(),
        "affinity": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "quota": None if quota >= UNLIMITED else quota,
        "used": pool.cores(),
    }


def _memory() -> dict[str, float] | None:
    kibibytes = {name: float(value.split()[0]) for name, value in _lines(MEMORY).items() if value}
    named = {"total": kibibytes.get("MemTotal"), "free": kibibytes.get("MemAvailable")}
    return {name: round(value / 2**20, 1) for name, value in named.items() if value is not None} or None


def _blas() -> list[dict[str, Any]]:
    from threadpoolctl import threadpool_info

    named = {"library": "internal_api", "version": "version", "kernels": "architecture", "threads": "num_threads"}
    return [
        {name: pool.get(key) for name, key in named.items()} for pool in threadpool_info() if pool["user_api"] == "blas"
    ]


def _gpus(ready: bool) -> list[dict[str, Any]]:
    """Names, and what CuPy says of them where it can run."""
    driver = _lines(NVIDIA / "version").get("NVRM version", "").split("  ")
    version = next((part.strip() for part in driver if part.strip()[:1].isdigit()), None)
    if not ready:
        names = (_lines(path).get("Model") for path in sorted(NVIDIA.glob("gpus/*/information")))
        return [{"name": name, "driver": version} for name in names if name]
    cupy = _dispatch.loaded("cupy")
    runtime = cupy.cuda.runtime
    found = []
    for number in range(runtime.getDeviceCount()):
        properties = runtime.getDeviceProperties(number)
        found.append({
            "name": properties["name"].decode(),
            "compute_capability": f"{properties['major']}.{properties['minor']}",
            "memory_gib": round(properties["totalGlobalMem"] / 2**30, 1),
            "driver": version,
            "cuda_driver": _cuda_version(runtime.driverGetVersion()),
            "cuda_runtime": _cuda_version(runtime.runtimeGetVersion()),
        })  # fmt: skip
    return found


def _cuda_version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _cache() -> dict[str, Any] | None:
    """Where compiled kernels are kept, whether they can be, and how many are there; None without Numba."""
    if _dispatch.loaded("numba") is None:
        return None
    from ..kernels.tiles import jit

    folder = jit.folder()
    if folder is not None and (around := jit.distrusted(folder)):
        return {"folder": str(folder), "state": f"not used: another user may replace {around}", "kernels": 0}
    if folder is None:
        return {"folder": None, "state": "there is no home folder: each process compiles for itself", "kernels": 0}
    kept = len(list(folder.glob("*.nbc"))) if folder.is_dir() else 0
    return {"folder": str(folder), "state": _usable(folder), "kernels": kept}


def _usable(folder: Path) -> str:
    """As `jit` decides it: a folder of this user's that nobody else may write."""
    if not folder.exists():
        place = next(parent for parent in folder.parents if parent.exists())
        made = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
        return "will be made" if made else "cannot be made: each process compiles for itself"
    status = folder.lstat()
    alone = not hasattr(os, "geteuid") or (status.st_uid == os.geteuid() and not status.st_mode & GROUP_OR_OTHERS)
    if not stat.S_ISDIR(status.st_mode) or not alone:
        return "not used: others may write it, or it belongs to another user"
    return "writable" if os.access(folder, os.W_OK | os.X_OK) else "read-only: kernels that are not there are not kept"
