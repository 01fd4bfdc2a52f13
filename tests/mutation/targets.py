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

    def files(self) -> list[str]:
        return [f"tests/{name}.py" for name in self.tests]

    def selection(self) -> list[str]:
        return [*self.files(), *(["-k", self.select] if self.select else [])]


DISPATCH = ("test_dispatch", "test_config")
BRIEF = "not told_in_order"  # ten seconds of searches
ARGUMENTS = ("test_arguments",)

TARGETS = [
    # dispatch
    Target("crossmodal_fast/_dispatch.py", DISPATCH, BRIEF),
    Target("crossmodal_fast/_usable.py", DISPATCH, BRIEF),
    Target(
        "crossmodal_fast/_config.py",
        ("test_config", "test_errors", "test_limits", "test_rules"),
        "(test_config or sentence or control or environment or rules) and not told_in_order",
    ),
    Target("kernels/tiles/worth.py", ("test_dispatch",)),
    Target("kernels/tiles/devices.py", ("test_dispatch",)),
    # validation
    Target(
        "crossmodal_fast/_validate.py", ("test_limits", "test_errors", "test_rules"), "test_limits or sentence or rules"
    ),
    Target("crossmodal_fast/_arguments.py", ARGUMENTS),
    Target("kernels/tiles/finite.py", ("test_rules",)),
    # certificate
    Target("kernels/tiles/encode.py", ("test_float_codes", "test_error_numbers"), "float_codes or growth"),
    Target("kernels/tiles/loop.py", ("test_tiles",)),
    Target("kernels/tiles/shortlist.py", ("test_shortlist",)),
    Target("kernels/tiles/sides.py", ("test_sides",)),
    Target("kernels/tiles/nearness.py", ("test_error_numbers",)),
    Target("kernels/tiles/cuda/bounds.py", ("test_error_numbers",)),
]
