"""What the tests of the command line share."""

from pathlib import Path

import numpy as np

from crossmodal_fast import cli

SOURCE = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
TARGET = np.random.default_rng(1).standard_normal((30, 8)).astype(np.float32)


def refused(capsys, *arguments):
    """The sentence with which the command line turns the arguments down; nothing may have been written."""
    before = sorted(Path().rglob("*"))
    assert cli.main(arguments) == cli.BAD_INPUT
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before
    return told.err.removeprefix("crossmodal-fast: ").rstrip("\n")
