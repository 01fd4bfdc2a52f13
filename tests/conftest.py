"""What all tests share: the backends, and the data beside the project."""

from pathlib import Path

import numpy as np
import pytest

pytest.register_assert_rewrite("judge")

BACKENDS = ["numpy", "numba"]  # every backend that must give the same bits
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure(config):
    import grids

    grids.wanted["marks"] = config.getoption("markexpr")


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
