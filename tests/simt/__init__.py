"""CUDA kernels on a machine without a GPU: the project's own `.cu` files, compiled by g++ and run by `simt.cpp`.

    library = build(CUDA / "prepare.cu", "race", INPUT="float")
    library.launch("prepare", grid=4, block=256, arguments=[rows, np.int32(n), ...], seed=3)

Builds: `plain` and `race` (every access passes the race detector) run inside this process on the arrays as they are;
`address` (ASan and UBSan) runs each launch in a program of its own on copies of them. Arguments are NumPy arrays, None
for a null pointer, and NumPy scalars of exactly the kernel's types. Objects are kept in a folder of the temporary ones
by a digest of the sources and the flags.
"""

import ctypes
import hashlib
import os
import re
import shutil
import struct
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
CUDA = HERE.parents[1] / "kernels" / "tiles" / "cuda"
KERNEL = re.compile(r"__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(")
COMMON = [
    "-std=c++17", "-g", "-fPIC", "-ffp-contract=off", "-fno-gnu-unique", "-fvisibility=hidden", "-Wall",
    "-Wno-unknown-pragmas",
]  # fmt: skip
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fsanitize-sections=simt_shared"]
RACE = ["-fsanitize=thread", "--param=tsan-instrument-func-entry-exit=0", "-DSIMT_RACE"]
FLAGS = {  # of the kernels, of the emulator, of the link
    "plain": (["-O2"], ["-O2"], ["-shared"]),
    "race": (["-O1", *RACE], ["-O2", "-DSIMT_RACE"], ["-shared", "-ldl"]),
    "address": (["-O1", *SANITIZERS], ["-O1", *SANITIZERS, "-DSIMT_PROGRAM"], SANITIZERS),
}
EMULATOR = {"plain": ["simt.cpp"], "race": ["simt.cpp", "race.cpp"], "address": ["simt.cpp"]}
_suppliers = {}  # of the first library that was loaded: all take their stacks from it
SECONDS = 60  # a launch under ASan that takes longer hangs


class Fault(AssertionError):
    """What the emulator, or a sanitiser, found in a launch."""


class Launch(ctypes.Structure):
    _fields_ = (
        ("grid", ctypes.c_uint * 3), ("block", ctypes.c_uint * 3), ("shared_bytes", ctypes.c_uint64),
        ("seed", ctypes.c_uint64), ("yield_share", ctypes.c_double),
    )  # fmt: skip


def obstacle():
    """Why nothing can be emulated here, None if it can."""
    compiler = shutil.which("g++")
    if compiler is None:
        return "g++ is not installed"
    version = subprocess.run([compiler, "-dumpfullversion"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.partition(".")[0]) < 12:
        return f"g++ 12 or later is needed for _Float16, this is {version}"
    return None if os.name == "posix" else "stacks are switched on POSIX only"


def _folder():
    folder = Path(tempfile.gettempdir()) / f"crossmodal-fast-simt-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@cache
def _digest_of_sources():
    """Of the emulator and of all device code: any of it may be included."""
    files = sorted([*HERE.glob("*.h"), *HERE.glob("*.cpp"), *HERE.glob("*.py"), *CUDA.glob("*.cuh")])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _compiled(target, words):
    """`target`, made by g++ unless it is there; another process may make it at the same time."""
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=_folder()) as scratch:
            made = Path(scratch) / target.name
            done = subprocess.run(["g++", *words, "-o", str(made)], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert "warning" not in done.stderr, done.stderr
            made.replace(target)
    return target


def _named(suffix, *parts):
    return _folder() / (hashlib.sha256(repr(parts).encode()).hexdigest()[:24] + suffix)


def _objects(flavour):
    _, flags, _ = FLAGS[flavour]
    for name in EMULATOR[flavour]:
        words = [*COMMON, *flags, "-c", str(HERE / name)]
        yield _compiled(_named(".o", _digest_of_sources(), words), words)


# What ctypes makes of a library or a type lies in cycles: opened at each launch, a search of 54 launches left 80 KB
# until the collector came by, and more than its plan when that was late.
@cache
def build(source, flavour="plain", text=None, **defines):
    """The kernels of a `.cu` file, or of another text in its place, as a `Library`."""
    text = source.read_text(encoding="utf-8") if text is None else text
    kernels = KERNEL.findall(text)
    enlisted = "".join(f"SIMT_KERNEL({name})\n" for name in kernels)
    whole = f'#include "simt.h"\n#include "instructions.h"\n#line 1 "{source.name}"\n{text}\n{enlisted}'
    flags, _, link = FLAGS[flavour]
    macros = [f"-D{name}={value}" for name, value in sorted(defines.items())]
    words = [*COMMON, *flags, *macros, f"-I{HERE}", f"-I{source.parent}"]
    suffix = "" if flavour == "address" else ".so"
    target = _named(suffix, _digest_of_sources(), whole, words, link)
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=_folder()) as scratch:
            unit = Path(scratch) / "unit.cpp"
            unit.write_text(whole, encoding="utf-8")
            compiled = _compiled(unit.with_suffix(".o"), [*words, "-c", str(unit)])
            _compiled(target, [str(compiled), *map(str, _objects(flavour)), *link])  # libtsan is not among them
    return (Program if flavour == "address" else Library)(target, text)


@cache
def _array_of(kind, length):
    return kind * length


def _triple(size):
    return (*((size,) if isinstance(size, int | np.integer) else size), 1, 1)[:3]


def _kind(argument):
    if argument is None:
        return "p"
    dtype = argument.dtype
    letter = "V" if dtype.kind == "V" or dtype.name == "bfloat16" else {"b": "u"}.get(dtype.kind, dtype.kind)
    return ("p" if argument.ndim else "") + f"{letter}{dtype.itemsize}"


def _same(given, wanted):
    """16-bit floats are structs in device code, and NumPy's vectors of floats are rows of them."""
    if given == wanted or (given == "p" and wanted.startswith("p")):
        return True
    if wanted == "pV2":
        return given in ("pf2", "pV2", "pu2")
    return wanted in ("pV8", "pV16") and given == "pf4"


class Library:
    """Kernels that run in this process."""

    def __init__(self, path, text):
        self.path, self.text = path, text
        self._handle = ctypes.CDLL(str(path))
        supplier = ctypes.c_void_p.in_dll(self._handle, "simt_supplier")
        supplier.value = _suppliers.setdefault("stacks", supplier.value)
        self._handle.simt_launch.restype = self._handle.simt_signature.restype = ctypes.c_char_p

    def launch(self, kernel, grid, block, arguments, *, shared=0, seed=1, yield_share=0.02):
        """Run `kernel`; a `Fault` says what was found. seed=0: each thread runs until it waits."""
        self._check(kernel, arguments)
        order = Launch(_triple(grid), _triple(block), shared, seed, yield_share)
        held = [_value(argument) for argument in arguments]
        pointers = _array_of(ctypes.c_void_p, len(held))(*(value.ctypes.data for value in held))
        sizes = _array_of(ctypes.c_uint64, len(held))(*(_bytes(argument) for argument in arguments))
        found = self._run(kernel.encode(), order, pointers, sizes, len(held), arguments, held)
        if found:
            raise Fault(_with_lines(found, self.path))

    def _run(self, name, order, pointers, sizes, count, arguments, held):
        return self._handle.simt_launch(name, ctypes.byref(order), pointers, sizes, count).decode()

    def _check(self, kernel, arguments):
        wanted = self._handle.simt_signature(kernel.encode()).decode().split()
        given = [_kind(argument) for argument in arguments]
        assert len(given) == len(wanted), f"{kernel} takes {len(wanted)} arguments, got {len(given)}"
        for at, (kind, other) in enumerate(zip(given, wanted, strict=True)):
            assert _same(kind, other), f"argument {at} of {kernel} must be {other}, got {kind}"
        for argument in arguments:
            assert argument is None or argument.flags.c_contiguous, "arrays must be in C order"


class Program(Library):
    """Kernels under ASan and UBSan: each launch is a process, which gets copies of the arrays."""

    def __init__(self, path, text):
        self.path, self.text = path, text

    def _check(self, kernel, arguments):
        assert kernel in KERNEL.findall(self.text)

    def _run(self, name, order, pointers, sizes, count, arguments, held):
        with tempfile.TemporaryDirectory(dir=_folder()) as scratch:
            request, answer = Path(scratch) / "request", Path(scratch) / "answer"
            with request.open("wb") as file:
                file.write(name.ljust(64, b"\0") + bytes(order) + struct.pack("<q", count))
                for argument, size, value in zip(arguments, sizes, held, strict=True):
                    raw = value.tobytes().ljust(8, b"\0")
                    file.write(struct.pack("<Q", size) + raw)
                    if size:
                        file.write(argument.tobytes())
            options = {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0", "UBSAN_OPTIONS": "print_stacktrace=0"}
            done = subprocess.run(
                [str(self.path), str(request), str(answer)], env=os.environ | options, capture_output=True, text=True,
                errors="replace", timeout=SECONDS, check=False,
            )  # fmt: skip
            if done.returncode:
                return done.stderr or f"exit status {done.returncode}"
            data, at = answer.read_bytes(), 0
            for argument, size in zip(arguments, sizes, strict=True):
                if size and argument.flags.writeable:
                    argument.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8, size, at)
                at += size
        return ""


def _bytes(argument):
    return argument.nbytes if argument is not None and argument.ndim else 0


def _value(argument):
    """The bytes of an argument as the kernel gets it: a pointer or a number."""
    if argument is None:
        return np.zeros(1, np.uint64)
    return np.array([argument.ctypes.data], np.uint64) if argument.ndim else np.array([argument])


def _with_lines(found, path):
    """Offsets into the library as lines of the source, where addr2line is there to say."""
    if shutil.which("addr2line") is None:
        return found

    def line(match):
        command = ["addr2line", "-s", "-e", str(path), match[1]]
        return "[" + subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() + " in"

    return re.sub(r"\[(0x[0-9a-f]+) in", line, found)
