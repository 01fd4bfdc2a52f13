"""`crossmodal-fast demo`."""

from pathlib import Path
from typing import Annotated

import typer  # noqa: TID253 - only the command line imports this module

from .. import use_backend
from ._options import Backend


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the picture and the table")] = Path(
        "demo-output"
    ),
    backend: Backend = "auto",
) -> None:
    """Match handwritten digits with spoken and with written ones, and show how well that went."""
    from ..demo import run

    with use_backend(backend):
        run(output)
