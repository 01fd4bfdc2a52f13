"""Options that come in groups, from a table."""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any

Command = Callable[..., None]


def with_group(argument: str, added: Mapping[str, tuple[Any, Any]]) -> Callable[[Command], Command]:
    """The command with more options, name -> (type, typer.Option), all None unless given.

    Those that were given come as a dict in one argument of the command.
    """

    def extend(command: Command) -> Command:
        @wraps(command)
        def extended(**values: Any) -> None:
            group = {name: values.pop(name) for name in added}
            given = {name: value for name, value in group.items() if value is not None and value is not False}
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
