"""A process in which the n-th change of a folder fails: it is killed, out of room, or interrupted there.

Run as a script it plays one of `writes.WRITES`: `dying.py <what> <folder> <fault> <first> <step>`; a fork for each n,
and a line for each with what became of the folder. What changes a folder is seen where Python does it: files opened for
writing, each write to them, flushes to the disk, renames, removals, new folders.
"""

import builtins
import contextlib
import errno
import faulthandler
import importlib
import io
import json
import os
import shutil
import signal
import sys
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path

SECONDS = 240  # after which a fork counts as hung
KILLED, FULL, INTERRUPTED = FAULTS = ("killed", "full", "interrupted")
ROOM = ("fsync", "mkdir")  # functions of os that need room; a full disk still renames and removes
OTHERS = ("replace", "rename", "unlink", "remove", "rmdir", "truncate", "ftruncate")
NEVER = 1 << 60
HUNG, UNTOUCHED, REFUSED, ODD = 1, 9, 10, 11  # exit codes of a fork; 0: it ended well in spite of the fault


class Disk:
    """Counts the changes; the one of number `at` fails, and where the disk is full all that follow."""

    def __init__(self, folder, fault, at):
        self.folder, self.fault, self.at, self.count = os.path.realpath(folder), fault, at, 0

    def __enter__(self):
        self.before = {name: getattr(os, name) for name in (*ROOM, *OTHERS)}
        self.open = builtins.open
        for name, function in self.before.items():
            setattr(os, name, self._counted(function, name in ROOM))
        builtins.open = io.open = self._opened
        return self

    def __exit__(self, *_):
        builtins.open = io.open = self.open
        for name, function in self.before.items():
            setattr(os, name, function)

    def change(self, needs_room, half=lambda: None):
        """One more; `half` does half of it."""
        self.count += 1
        if self.count == self.at and self.fault == KILLED:
            half()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.count == self.at and self.fault == INTERRUPTED:
            if threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGINT)  # which the main thread alone gets
        if self.count >= self.at and self.fault == FULL and needs_room:
            if self.count == self.at:
                half()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _counted(self, function, needs_room):
        def counted(*arguments, **keywords):
            self.change(needs_room)
            return function(*arguments, **keywords)

        return counted

    def _opened(self, file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, *more, **keywords):
        if not set(mode) & set("wxa+") or not self._ours(file):
            return self.open(file, mode, buffering, encoding, errors, newline, *more, **keywords)
        if not isinstance(file, int) and "r" not in mode:
            self.change(True)
        raw = Raw(self, file, mode.replace("b", "").replace("t", ""))
        buffered = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    def _ours(self, file):
        return isinstance(file, int) or os.path.realpath(file).startswith(self.folder + os.sep)


class Raw(io.FileIO):
    """A file each of whose writes is a change."""

    def __init__(self, disk, file, mode):
        super().__init__(file, mode)
        self.disk = disk

    def write(self, content):
        part = memoryview(content).cast("B")
        self.disk.change(True, lambda: io.FileIO.write(self, part[: len(part) // 2]))
        return super().write(content)

    def truncate(self, *size):
        self.disk.change(False)
        return super().truncate(*size)


@dataclass
class Outcome:
    """Whatever ends the block is kept as words, and goes no further: a fork has nowhere to raise it."""

    code: int
    words: str

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is not None:
            self.words = "".join(traceback.format_exception(error))
        return True


def forked(work):
    """(exit code, words) of a fork that returns the words or ends by itself."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(SECONDS, exit=True, file=writer)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a command says
        with Outcome(ODD, "") as outcome:
            outcome.code, outcome.words = work()
        os.write(writer, outcome.words.encode())
        os._exit(outcome.code)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        words = pipe.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, f"hangs: {words}" if status == HUNG else words


def wounded(write, folder, fault, at):
    """Write, with a fault: (exit code, what was said)."""

    def work():
        with Disk(folder, fault, at) as disk:
            code, said = 0, ""
            try:
                said = str(write(folder, 1))
            except KeyboardInterrupt:
                code = REFUSED if fault == INTERRUPTED else ODD
            except (ValueError, OSError) as error:
                code, said = REFUSED, f"{type(error).__name__}: {error}"
            return (UNTOUCHED, str(disk.count)) if disk.count < at else (code, said)

    return forked(work)


def looked_at(what, folder):
    """What is in the folder now, what was left over, and what is there once it is written again."""

    def work():
        found = what.read(folder)
        left = sorted(path.name for path in folder.rglob("*") if path.name.endswith(".partial"))
        what.write(folder, 1)
        begun = [path.name for path in folder.glob("[!.]*.partial")]
        return 0, json.dumps({"found": found, "left": left, "again": what.read(folder), "begun": begun})

    return forked(work)


def play(name, folder, fault, first, step):
    from writes import WRITES

    os.fsync = lambda file: None  # a process that dies takes no written page along, and a busy disk takes seconds
    what = WRITES[name]
    old = folder / "old"
    old.mkdir()

    def begun():
        what.write(old, 0)
        assert what.read(old) == 0
        return 0, json.dumps(sorted(sys.modules))

    code, words = forked(begun)
    if code:
        sys.exit(words)
    for module in json.loads(words):  # here once, not in every fork; importing starts no thread
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    at = first
    while True:
        place = folder / "now"
        shutil.copytree(old, place, symlinks=True)
        code, said = wounded(what.write, place, fault, at)
        if code == UNTOUCHED:
            print(json.dumps({"changes": int(said)}), flush=True)
            return
        _, state = looked_at(what, place)
        print(json.dumps({"at": at, "code": code, "said": said, "state": state}), flush=True)
        shutil.rmtree(place)
        at += step


if __name__ == "__main__":
    name, folder, fault, first, step = sys.argv[1:]
    play(name, Path(folder), fault, int(first), int(step))
