"""What all tests share: the folder of helpers on the path, the backends, the data beside the project."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # cases, judge and project are plain modules
pytest.register_assert_rewrite("judge")

BACKENDS = ["numpy"]  # every backend that must give the same bits
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture(scope="session")
def shared_file():
    """Path of a file of the data kept beside the project; skips where it is absent."""

    def locate(name):
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"{name} is not beside the project")
        return path

    return locate
