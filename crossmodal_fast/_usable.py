"""Whether a library is installed, and can be used."""

import importlib
import importlib.util
import re
from functools import cache

LEAST = {"numba": (0, 61)}  # as setup.py asks; another installation may be there all the same


@cache
def found(module: str) -> bool:
    """Whether there is one to import."""
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # something else has its name in sys.modules, or None
        return False


@cache
def fault(library: str) -> str | None:
    """What is wrong with one that was found, in words; None if nothing is. Imports it."""
    try:
        module = importlib.import_module(library)
    except Exception as error:  # noqa: BLE001 - whatever a broken installation raises
        said = str(error).strip().partition("\n")[0] or type(error).__name__
        return f"{library} cannot be imported ({said})"
    version, least = str(getattr(module, "__version__", "")), LEAST.get(library)
    if least is None or tuple(map(int, re.findall(r"\d+", version)[:2])) >= least:
        return None
    wanted = ".".join(map(str, least))
    return f"{library} {version or 'of no version'} is too old; pip install '{library}>={wanted}'"
