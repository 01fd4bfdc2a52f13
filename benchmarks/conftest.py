"""The modules beside bench.py are plain ones, like the tests' helpers."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="the cross product of all sizes: hours")
    parser.addoption("--missing", action="store_true", help="only what has no row of this commit yet")
    parser.addoption("--results", help="the folder of the rows instead of benchmarks/results")
