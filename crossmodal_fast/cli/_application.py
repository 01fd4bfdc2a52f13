"""The commands, by name."""

import typer  # noqa: TID253 - `main` imports this module only once it knows that typer is there

from .demo import demo
from .diagnose import diagnose
from .evaluate import evaluate
from .fuse import fuse
from .info import info
from .match import match
from .transfer import apply, fit

application = typer.Typer(
    help="Exact, fast matching and transfer between embeddings of two or more modalities.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
transfer = typer.Typer(help="Learn a map from paired rows, and use it.")
application.command()(demo)
application.command()(match)
application.command()(fuse)
application.command()(evaluate)
application.command()(diagnose)
application.command()(info)
transfer.command()(fit)
transfer.command()(apply)
application.add_typer(transfer, name="transfer")
