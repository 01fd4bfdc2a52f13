"""The page of the command line: what `--help` says of each command, as tables."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

INTRODUCTION = """\
# The command line

`pip install 'crossmodal-fast[cli]'`. It reads and writes `.npy`, `.npz`, `.parquet`, `.csv` and `.safetensors`. A
result appears whole or not at all. Exit codes: 0 done, 2 bad input, with one sentence on stderr, 130 interrupted.
"""


def commands() -> Iterator[tuple[str, Any]]:
    """(name, command) of all that can be called, as the parser has them."""
    import typer

    from crossmodal_fast.cli._application import application

    waiting = [("crossmodal-fast", typer.main.get_command(application))]
    while waiting:
        name, command = waiting.pop(0)
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name, command
        else:
            waiting += [(f"{name} {own}", found) for own, found in inner.items()]


def section(name: str, command: Any) -> str:
    """Markdown of one command."""
    needed = [each.metavar or each.name.upper() for each in command.params if each.param_type_name == "argument"]
    lines = [f"## {name}", f"`{' '.join([name, *needed, '[OPTIONS]'])}`", command.help or ""]
    rows = [f"| {_names(each)} | {_cell(each.help)} | {_default(each)} |" for each in command.params]
    return "\n\n".join([*lines, "\n".join(["| | | default |", "|---|---|---|", *rows])])


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    return ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])


def _default(parameter: Any) -> str:
    if parameter.required:
        return "needed"
    told = isinstance(parameter.default, str | int | float | Path) and parameter.default is not False
    return f"`{_cell(str(parameter.default))}`" if told else ""


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def write(path: Path) -> None:
    """The page."""
    parts = [INTRODUCTION.rstrip(), *(section(name, command) for name, command in commands())]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
