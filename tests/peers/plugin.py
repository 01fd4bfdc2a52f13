"""A pytest plugin: a peer's own tests with ours in the place of its functions. `run.py` starts it.

Patches hold from before the tests are imported until the end. What was counted goes to the file that is asked for.
"""

import json
import os
import re
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from suites import SUITES

import crossmodal_fast
from crossmodal_fast import _search, compat

SUITE = SUITES[os.environ["PEERS_SUITE"]]
around = ExitStack()
count: Counter[str] = Counter()
failed: list[str] = []
found: set[str] = set()


def counted(operation, *arguments, **keywords):
    count["calls"] += 1
    return own(operation, *arguments, **keywords)


own = _search.implementation


def pytest_configure(config):
    _search.implementation = counted
    for peer in SUITE.peers:
        around.enter_context(compat.patch(peer))
    around.enter_context(crossmodal_fast.config_context(backend=os.environ["PEERS_BACKEND"]))


def pytest_unconfigure(config):
    around.close()
    _search.implementation = own
    unused = sorted(set(SUITE.excluded) - found)
    told = dict(count) | {"failures": failed, "unused": unused}
    Path(os.environ["PEERS_REPORT"]).write_text(json.dumps(told), encoding="utf-8")


def exclusion(item):
    return next((start for start in SUITE.excluded if re.match(start, item.name)), None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    matched = {item: exclusion(item) for item in items}
    left_out = [item for item in items if matched[item] is not None]
    found.update(matched[item] for item in left_out)
    count["excluded"] = len(left_out)
    items[:] = [item for item in items if matched[item] is None]
    config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    before = count["calls"]
    try:
        return (yield)
    finally:
        count["ours"] += count["calls"] > before


def pytest_collectreport(report):
    if report.failed:
        failed.append(report.nodeid)


def pytest_runtest_logreport(report):
    if report.failed:
        failed.append(report.nodeid.rpartition("::")[2])
    if report.when == "call" or (report.when == "setup" and report.skipped):
        count["x" * hasattr(report, "wasxfail") + report.outcome] += 1
