"""`python -m crossmodal_fast`."""

import sys

from crossmodal_fast.cli import main

if __name__ == "__main__":
    sys.exit(main())
