"""The tests of a file against its mutants, in the process that has collected them."""

import gc
import os
import pickle
import time

import pytest

from . import mutants, planting
from .forks import in_child
from .reasons import LEFT

TIMES, SECONDS = 10.0, 20.0  # of the tests' own time; and so much for what a busy machine does beside
SURVIVED, NOT_RUN, AT_IMPORT = "survived", "not run", "at import"
SAID = os.dup(1)  # children are quiet


def say(text):
    os.write(SAID, f"{text}\n".encode())


class Stop:
    """A pytest plugin that keeps the name of the first test that fails."""

    def __init__(self):
        self.first = None

    def pytest_runtest_logreport(self, report):
        if report.failed and self.first is None:
            self.first = report.nodeid


class Seen:
    """What a test takes, and which lines of the file it runs."""

    def __init__(self):
        self.seconds, self.lines = 0.0, set()

    def meets(self, lines):
        return not self.lines.isdisjoint(range(lines[0], lines[1] + 1))


class Trials:
    """A pytest plugin: in the place of one run of the tests, a run for each mutant inside a function."""

    def __init__(self, target, answers, chosen):
        self.target, self.answers, self.chosen, self.known = target, answers, chosen, []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        source = self.target.path.read_text(encoding="utf-8")
        if self.target.interpreted:  # what it compiles for its intrinsics stays for all forks
            failing(session, session.items)
        seen = in_child(lambda: traced(session, self.target.path))
        if not isinstance(seen, dict):
            say(f"{self.target.name}: unchanged, this does not pass: {seen}")
            return True
        say(f"{self.target.name}: {len(session.items)} tests, {sum(one.seconds for one in seen.values()):.0f} s")
        found, self.known = {}, planting.functions(self.target.path)
        if not self.known:
            say(f"{self.target.name}: the tests must import this file, got another one of the package, or none")
            return True
        gc.freeze()  # else a collection in a child copies all pages
        for mutant in mutants.mutants(source):
            if mutant.in_body and self.chosen(mutant):
                fate = found[mutant.number] = self._fate(session, source, mutant, seen)
                if fate in LEFT:
                    say(f"    line {mutant.lines[0]}, {fate}: {mutant.key}")
        self.answers.write_bytes(pickle.dumps(found))
        return True

    def _fate(self, session, source, mutant, seen):
        items = [item for item in session.items if seen[item.nodeid].meets(mutant.lines)]
        items.sort(key=lambda item: seen[item.nodeid].seconds)
        if not items:
            return NOT_RUN

        def trial():
            taken = planting.in_place(source, mutant.number, self.target.path, self.known)
            return failing(session, items) if taken else AT_IMPORT

        return in_child(trial, SECONDS + TIMES * sum(seen[item.nodeid].seconds for item in items)) or SURVIVED


def traced(session, path):
    """Test -> `Seen`; the name of a test that fails."""
    found, name = {}, str(path)

    def entered(frame, event, argument):
        return step if frame.f_code.co_filename == name else None

    def step(frame, event, argument):
        lines.add(frame.f_lineno)
        return step

    for item in session.items:
        one = found[item.nodeid] = Seen()
        lines, began = one.lines, time.perf_counter()
        planting.trace(entered)
        failed = failing(session, [item])
        planting.trace(None)
        one.seconds = time.perf_counter() - began
        if failed:
            return failed
    return found


def failing(session, items):
    """The first of the tests that fails, None if all pass."""
    stop = Stop()
    session.config.pluginmanager.register(stop)
    for at, item in enumerate(items):
        following = items[at + 1] if at + 1 < len(items) else None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if stop.first is not None:
            break
    session.config.pluginmanager.unregister(stop)
    return stop.first
