"""`crossmodal-fast info`."""

import os
import platform
from importlib import metadata
from pathlib import Path

import typer  # noqa: TID253 - only the command line imports this module

from .. import backends, config

PACKAGES = (
    "crossmodal-fast", "numpy", "scipy", "numba", "cupy-cuda12x", "cupy-cuda13x", "threadpoolctl", "array-api-compat",
    "ml_dtypes", "pyarrow", "safetensors", "rich", "typer", "scikit-learn", "matplotlib", "torch",
)  # fmt: skip


def info() -> None:
    """Show versions, backends and machine, as text to paste into a report."""
    for name, value in {"system": platform.platform(), "python": platform.python_version(), **_versions()}.items():
        typer.echo(f"{name:<18}{value}")
    typer.echo(f"{'processor':<18}{_processor()}, {_cores()} of {os.cpu_count()} cores usable")
    typer.echo(f"{'memory':<18}{_memory()}")
    for library in _blas():
        typer.echo(f"{'blas':<18}{library}")
    for name, state in backends().items():
        typer.echo(f"{'backend ' + name:<18}{state}")
    typer.echo(f"{'max_bytes':<18}{config.max_bytes / 2**20:g} MiB unless told otherwise")


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cores() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> str:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown here"
    kibibytes = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
    total, free = (kibibytes[name] / 2**20 for name in ("MemTotal", "MemAvailable"))
    return f"{total:.1f} GiB, {free:.1f} GiB of it free"


def _blas() -> list[str]:
    from threadpoolctl import threadpool_info

    return [
        f"{pool['internal_api']} {pool['version']}, {pool['num_threads']} threads"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    ]
