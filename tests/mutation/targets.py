"""What is mutated, and which tests must notice."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Target:
    """A file and its tests. `interpreted`: kernels run as Python; `limit`: seconds of all tests."""

    name: str
    tests: tuple[str, ...]
    select: str = ""
    interpreted: bool = False
    limit: float = 300.0

    @property
    def path(self) -> Path:
        return ROOT / self.name

    def selection(self) -> list[str]:
        files = [f"tests/{name}.py" for name in self.tests]
        return [*files, *(["-k", self.select] if self.select else [])]


DISPATCH = ("test_dispatch", "test_config", "test_errors")

TARGETS = [
    Target("crossmodal_fast/_dispatch.py", DISPATCH),
    Target("crossmodal_fast/_usable.py", DISPATCH),
    Target("crossmodal_fast/_config.py", DISPATCH),
    Target("crossmodal_fast/_validate.py", ("test_limits", "test_errors")),
    Target(
        "crossmodal_fast/_arguments.py",
        ("test_fitting_sentences", "test_fusion_rules", "test_local_scaling", "test_geometry", "test_arrays_refused"),
    ),
    Target("kernels/tiles/worth.py", ("test_dispatch",)),
    Target("kernels/tiles/devices.py", ("test_dispatch",)),
]
