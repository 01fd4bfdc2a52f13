"""`crossmodal-fast demo`."""

from pathlib import Path
from typing import Annotated

import typer  # noqa: TID253 - only the command line imports this module


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the picture and the table")] = Path(
        "demo-output"
    ),
) -> None:
    """Match handwritten digits with spoken and with written ones, and show how well that went."""
    from ..demo import run

    run(output)
