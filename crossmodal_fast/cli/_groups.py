"""Options that come in groups, from a table."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer  # noqa: TID253 - only the command line imports this module

Command = Callable[..., None]
Row = tuple[Any, str, str]  # type, or what makes a value of a text; what the help calls the value; the help

READ = (str, Path, list[Path])  # by typer itself; all others are parsers


def flag_of(option: str) -> str:
    return "-k" if option == "k" else f"--{option.replace('_', '-')}"


def with_options_of(methods: Mapping[str, Iterable[str]], options: Mapping[str, Row]) -> Callable[[Command], Command]:
    """`with_group` of options that belong to methods, named in their help; the dict is called `options`."""
    return with_group("options", {name: _option(name, methods, *row) for name, row in options.items()})


def _option(name: str, methods: Mapping[str, Iterable[str]], kind: Any, metavar: str, text: str) -> tuple[Any, Any]:
    told = f"Of {', '.join(method for method, takes in methods.items() if name in takes)}: {text}"
    if kind is bool:
        return bool, typer.Option(flag_of(name), help=told)
    if kind in READ:
        return kind, typer.Option(flag_of(name), metavar=metavar, help=told)
    return Any, typer.Option(flag_of(name), parser=kind, metavar=metavar, help=told)


def refuse_foreign(method: str, takes: Iterable[str], given: Mapping[str, Any], word: str = "--method") -> None:
    """Raise for an option that the method does not take."""
    for name, value in given.items():
        if name not in takes:
            told = ", ".join(map(flag_of, takes)) or "none"
            raise ValueError(f"{flag_of(name)} must be left out with {word} {method}, which takes {told}, got {value}")


def with_group(argument: str, added: Mapping[str, tuple[Any, Any]]) -> Callable[[Command], Command]:
    """The command with more options, name -> (type, typer.Option), all None unless given.

    Those that were given come as a dict in one argument of the command.
    """

    def extend(command: Command) -> Command:
        @wraps(command)
        def extended(**values: Any) -> None:
            group = {name: values.pop(name) for name in added}
            given = {
                name: value for name, value in group.items() if not (value is None or value is False or value == [])
            }
            command(**values, **{argument: given})

        own = inspect.signature(command, eval_str=True).parameters.values()
        more = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
            )
            for name, (kind, option) in added.items()
        ]
        signature = inspect.Signature([*(part for part in own if part.name != argument), *more])
        extended.__signature__ = signature  # type: ignore[attr-defined]  # typer reads it
        extended.__annotations__ = {name: part.annotation for name, part in signature.parameters.items()}
        return extended

    return extend
