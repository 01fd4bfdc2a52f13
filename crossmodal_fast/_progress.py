"""The one progress bar: on stderr, only on a terminal, only for what takes longer than a second."""

import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_S = 1.0  # what ends sooner shows nothing


@contextmanager
def bar(label: str, in_bytes: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Show how far the block has come; it is given the callable (done, total) that moves the bar.

    Before the first call, or without any, the bar shows that work goes on. Off a terminal, or without rich, nothing is
    shown. in_bytes: done and total are bytes, and their rate is shown beside the time left.

    >>> with bar("matching") as progress:
    ...     progress(1, 2)
    """
    if not sys.stderr.isatty() or importlib.util.find_spec("rich") is None:
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

    columns = [*Progress.get_default_columns(), *([DownloadColumn(), TransferSpeedColumn()] if in_bytes else [])]
    progress = Progress(*columns, console=Console(file=sys.stderr), transient=True)
    task = progress.add_task(label, total=None)
    timer = threading.Timer(PATIENCE_S, progress.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda done, total: progress.update(task, completed=done, total=total)
    finally:
        timer.cancel()
        timer.join()  # so that it cannot start after the stop
        progress.stop()
