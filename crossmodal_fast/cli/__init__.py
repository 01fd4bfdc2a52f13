"""The command line, `crossmodal-fast`. Importing it loads neither typer nor rich."""

import importlib.util
import sys
from collections.abc import Sequence

PROGRAM = "crossmodal-fast"
BAD_INPUT = 2
INTERRUPTED = 130  # 128 + SIGINT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 2 bad input, with one sentence on stderr, 130 interrupted."""
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments) or ["--help"])
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        print(f"{PROGRAM}: {' '.join(sentence.split())}", file=sys.stderr)
        return BAD_INPUT
    if code == INTERRUPTED:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
    return code


def _run(words: list[str]) -> int:
    missing = [name for name in ("typer", "rich") if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"the command line needs {' and '.join(missing)}: pip install 'crossmodal-fast[cli]'")
    import typer

    from ._application import application

    try:
        code = typer.main.get_command(application).main(words, prog_name=PROGRAM, standalone_mode=False)
    except typer.Abort:  # what earlier versions make of Ctrl-C; later ones return 130
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _sentence(error: Exception) -> str | None:
    """What the user can do something about, in words; None for what only we can mend."""
    from crossmodal_fast import BackendUnavailable

    if hasattr(error, "format_message"):  # of click; typer ships a copy of its own in some versions, so no one class
        context = getattr(error, "ctx", None)
        command = context.command_path if context else PROGRAM
        return f"{error.format_message().rstrip('.')}; see {command} --help"
    ours = isinstance(error, ImportError) and (error.name or "").startswith("crossmodal_fast")
    if isinstance(error, ModuleNotFoundError) and error.name and not ours:
        return f"{error.name} is not installed: pip install 'crossmodal-fast[demo]'"
    if isinstance(error, ImportError) and not ours:
        return f"a library cannot be imported ({error}): install it anew"
    if isinstance(error, OSError) and error.strerror:
        return f"'{error.filename}': {error.strerror}" if error.filename else error.strerror
    if isinstance(error, (ValueError, TypeError, MemoryError, OSError, BackendUnavailable)):
        return str(error) or type(error).__name__
    return None
