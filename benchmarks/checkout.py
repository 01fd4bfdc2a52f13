"""Makes the package importable where it is not installed, from this checkout: a GPU machine may have no network.

Last in line: an installed package is found before.
"""

import sys
from importlib.util import spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KERNELS = "crossmodal_fast.kernels"  # the folder beside the package's, as setup.py ships it


class Kernels:
    """Finds them beside the package."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != KERNELS:
            return None
        folder = ROOT / "kernels"
        return spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])


sys.path.append(str(ROOT))
sys.meta_path.append(Kernels)
