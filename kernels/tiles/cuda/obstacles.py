"""What keeps CuPy from running kernels on this machine, in words."""

import os
from importlib import metadata
from pathlib import Path

LEAST = 14  # as setup.py asks
WHEELS = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x", "cupy-rocm-7-0")  # each of them is the module cupy


def found():
    """The first obstacle, None if nothing is in the way."""
    return next(filter(None, (look() for look in (_wheels, _module, _driver, _compiler, _folder))), None)


def _wheels():
    installed = sorted({name for name in WHEELS if _version(name)})
    if len(installed) > 1:
        names = " and ".join(installed)
        return f"{names} are installed and overwrite each other; uninstall all of them and install one"
    return None


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _module():
    try:
        import cupy

        cupy.cuda.runtime  # noqa: B018 - whether it is there: another module, or what is left of one, may have the name
    except Exception as error:  # noqa: BLE001 - whatever a broken installation raises
        return f"cupy cannot be imported ({_brief(error)})"
    version = str(getattr(cupy, "__version__", LEAST))
    if version.partition(".")[0].isdecimal() and int(version.partition(".")[0]) < LEAST:
        return f"cupy {version} is too old; pip install 'cupy-cuda13x[ctk]>={LEAST}'"
    return None


def _driver():
    import cupy

    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"no CUDA driver answers ({_brief(error)})"
    return None if count else "no CUDA device is visible"


def _compiler():
    import cupy

    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # noqa: BLE001 - ImportError, OSError or its own, by how it is missing
        major = cupy.cuda.runtime.runtimeGetVersion() // 1000
        return f"NVRTC is missing ({_brief(error)}); pip install 'cupy-cuda{major}x[ctk]'"
    return None


def _folder():
    """CuPy makes this folder when it compiles, and cannot go on without."""
    if os.environ.get("CUPY_CACHE_IN_MEMORY", "0") not in ("", "0"):
        return None
    try:
        folder = Path(os.environ.get("CUPY_CACHE_DIR") or Path.home() / ".cupy" / "kernel_cache")
    except RuntimeError:
        return "there is no home folder for CuPy's kernels; set CUPY_CACHE_DIR"
    place = next(part for part in (folder, *folder.parents) if part.exists())
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return None
    return f"CuPy's kernels cannot be written to {folder}; set CUPY_CACHE_DIR or CUPY_CACHE_IN_MEMORY=1"


def _brief(error):
    return str(error).strip().partition("\n")[0] or type(error).__name__
