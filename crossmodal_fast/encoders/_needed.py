"""Libraries are imported when they are needed; a missing one is one sentence."""

import importlib
from typing import Any

PACKAGES = {  # module -> what is missing, and how to get it
    "sentence_transformers": ("sentence-transformers", "pip install 'crossmodal-fast[encoders]'"),
    "transformers": ("transformers", "pip install 'crossmodal-fast[encoders]'"),
    "torch": ("PyTorch", "pip install 'crossmodal-fast[encoders]'"),
    "keras": ("Keras", "pip install keras tensorflow"),
}


def needed(module: str, user: str) -> Any:
    """The module, imported."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise  # the library is there, and something that it needs is not
        package, command = PACKAGES[module]
        raise ModuleNotFoundError(f"{user} needs {package}, which is not installed: {command}", name=module) from error
