"""Rows to write and read, and the judges of what files say and leave behind."""

import json
import re
import struct

import numpy as np
import pytest

from crossmodal_fast import files
from crossmodal_fast.files import FileError

ROWS = np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32)
ROWS[0, 0], ROWS[1, 1] = np.float32(0.1), np.float32(1e-42)
ENDINGS = list(files.ARRAY_WRITERS)


def says(sentence, kind=FileError):
    """The whole sentence, word for word."""
    return pytest.raises(kind, match=f"^{re.escape(str(sentence))}$")


def leaves_nothing(folder, *expected):
    assert sorted(path.name for path in folder.iterdir()) == sorted(expected)


def safetensors(path, header, data=b""):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path
