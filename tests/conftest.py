"""What all tests share: the backends, and the data beside the project."""

import sys
from pathlib import Path

import checkout  # noqa: F401 - before the package
import numpy as np
import pytest

pytest.register_assert_rewrite("judge")

BACKENDS = ["numpy", "numba"]  # every backend that must give the same bits
ON_NUMBA = {  # files whose tests run on it without saying so in their names
    "test_bounds_float", "test_bounds_numba", "test_bounds_stated", "test_canonical", "test_certificates",
    "test_direct", "test_engine", "test_engine_searches", "test_few_rows", "test_fuzz", "test_memory", "test_near",
    "test_panels", "test_probe", "test_products", "test_selfjoin", "test_stress", "test_thresholds",
}  # fmt: skip
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
starts = []  # (the bits of a generator that lies in a file, their state once that had been imported)


def pytest_configure(config):
    import grids

    grids.wanted["marks"] = config.getoption("markexpr")


def pytest_collection_modifyitems(items):
    """What compiles kernels comes first: of two workers one begins there, and the other finds them on disk later.

    Beside each other they would compile the same kernels twice.
    """
    items.sort(key=lambda item: not (item.path.stem in ON_NUMBA or "numba" in item.name))
    own = {path.stem for path in Path(__file__).parent.glob("*.py")}
    for name, module in [*sys.modules.items()]:
        if name.rpartition(".")[2] in own:
            streams = [value.bit_generator for value in vars(module).values() if type(value) is np.random.Generator]
            starts.extend((stream, stream.state) for stream in streams)


def pytest_runtest_setup():
    """What a test draws of its file's generator is the same, whichever tests have run before it."""
    for stream, state in starts:
        stream.state = state


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a.npy and b.npy in it."""
    from command_line import SOURCE, TARGET

    monkeypatch.chdir(tmp_path)
    np.save("a.npy", SOURCE)
    np.save("b.npy", TARGET)
    return tmp_path


@pytest.fixture(scope="session")
def shared_file():
    """Path of a file of the data kept beside the project; skips where it is absent."""

    def locate(name):
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"{name} is not beside the project")
        return path

    return locate
