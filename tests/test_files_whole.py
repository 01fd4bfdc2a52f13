"""A file is written whole or not at all: full disks, limits, Ctrl-C, links."""

import errno
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from crossmodal_fast import files
from crossmodal_fast.files import FileError, MissingFileError, atomic, check_output
from samples import ENDINGS, ROWS, leaves_nothing, says


def test_atomic_replaces_only_at_the_end(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    with atomic(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
        assert len(list(tmp_path.iterdir())) == 2
    assert path.read_bytes() == b"new"
    leaves_nothing(tmp_path, "x.bin")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError, MemoryError, SystemExit])
def test_atomic_leaves_nothing_behind(tmp_path, stop):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    with pytest.raises(stop), atomic(path) as file:  # noqa: PT012
        file.write(b"half")
        raise stop
    assert path.read_bytes() == b"old"
    leaves_nothing(tmp_path, "x.bin")


def test_atomic_goes_through_a_link_and_heeds_the_umask(tmp_path):
    (tmp_path / "real.bin").write_bytes(b"old")
    (tmp_path / "link.bin").symlink_to("real.bin")
    before = os.umask(0o027)
    try:
        with atomic(tmp_path / "link.bin") as file:
            file.write(b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "link.bin").is_symlink()
    assert (tmp_path / "real.bin").read_bytes() == b"new"
    assert (tmp_path / "real.bin").stat().st_mode & 0o777 == 0o640


def test_atomic_takes_a_long_name(tmp_path):
    with atomic(tmp_path / ("x" * 250)) as file:
        file.write(b"new")
    leaves_nothing(tmp_path, "x" * 250)


def test_output_sentences(tmp_path, monkeypatch):
    path = tmp_path / "none" / "x.csv"
    with says(f"the folder of '{path}' must exist: make it first, mkdir -p '{path.parent}'", MissingFileError):
        check_output(path)
    with says(f"'{tmp_path / 'x.npy'}' must end in .parquet, .csv or .npz"):
        check_output(tmp_path / "x.npy", files.TABLE_WRITERS)
    with says(f"'{tmp_path / 'x.txt'}' must end in .npy, .npz, .parquet, .csv or .safetensors"):
        files.write_array(tmp_path / "x.txt", ROWS)
    (tmp_path / "x.csv").mkdir()
    for taken in (tmp_path / "x.csv", "/dev/null"):
        with says(f"'{taken}' must be a new or a regular file, got a folder or a device"):
            check_output(taken)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with says(f"the folder of '{tmp_path / 'y.csv'}' must be writable: choose another folder"):
        check_output(tmp_path / "y.csv")
    leaves_nothing(tmp_path, "x.csv")


BIG = np.random.default_rng(1).standard_normal((4000, 16))
WRITE = {
    **{ending: lambda path: files.write_array(path, BIG) for ending in ENDINGS},
    **{f"table{ending}": lambda path: files.write_table(path, {"a": BIG.ravel()}) for ending in files.TABLE_WRITERS},
}


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True).returncode
    ):
        pytest.skip("mount -t tmpfs is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("name", WRITE)
def test_full_disk(small_disk, name):
    path = small_disk / f"x{name}"
    with says(f"'{path}' was not written (No space left on device): make room or choose another folder"):
        WRITE[name](path)
    leaves_nothing(small_disk)


LIMITED = """
import resource, sys, numpy as np
from crossmodal_fast import files
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    files.write_array(sys.argv[1], np.ones((4000, 16)))
except files.FileError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
def test_file_limit(tmp_path):
    path = tmp_path / "x.npy"
    done = subprocess.run([sys.executable, "-c", LIMITED, path], capture_output=True, text=True, check=True)
    assert done.stdout == f"'{path}' was not written (File too large): make room or choose another folder\n"
    assert done.stderr == ""
    leaves_nothing(tmp_path)


@pytest.mark.parametrize("name", WRITE)
@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_stop_before_the_rename(tmp_path, monkeypatch, name, stop):
    """Where no tmpfs can be mounted, this stands in for the full disk."""

    def fail(_):
        raise stop

    monkeypatch.setattr(os, "fsync", fail)
    path = tmp_path / f"x{name}"
    with pytest.raises(FileError if isinstance(stop, OSError) else KeyboardInterrupt):
        WRITE[name](path)
    leaves_nothing(tmp_path)


WRITING = """
import itertools, sys
import numpy as np
from crossmodal_fast import files
for number in itertools.count(1):
    files.write_array(sys.argv[1], np.full((3000, 40), number, np.float32))
    print(number, flush=True)
"""


@pytest.mark.parametrize(
    "name", [".npy", *(pytest.param(name, marks=pytest.mark.heavy) for name in (".npz", ".safetensors"))]
)
def test_killed_while_it_writes(tmp_path, name):
    """What a file holds is one whole version; what a kill leaves beside it has the name of something begun."""
    path = tmp_path / f"x{name}"
    for wait in (0.0, 0.001, 0.003, 0.007):
        process = subprocess.Popen([sys.executable, "-c", WRITING, path], stdout=subprocess.PIPE, text=True)
        with process:
            process.stdout.readline()
            time.sleep(wait)
            process.kill()
        rows = files.read_embeddings(path)
        assert rows.shape == (3000, 40)
        assert (rows == rows[0, 0]).all()
        assert rows[0, 0] >= 1
    assert {left.suffix for left in tmp_path.iterdir()} <= {name, ".partial"}
