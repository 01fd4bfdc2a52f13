"""Dask, imported when it is needed; where it is missing, one sentence."""

from importlib import import_module
from typing import Any


def needed(module: str) -> Any:
    """A module of Dask."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("dask", "distributed"):
            raise  # Dask is there, and something that it needs is not
        command = "pip install 'crossmodal-fast[dask]'"
        raise ModuleNotFoundError(f"crossmodal_fast.dask needs Dask, which is not installed: {command}") from error
