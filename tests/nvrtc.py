"""NVRTC from the wheel nvidia-cuda-nvrtc, through its C interface: compiles for GPUs that are not there, no driver."""

import ctypes
import importlib.util
from functools import cache
from pathlib import Path

OPTIONS = ("--std=c++17", "-fmad=false", "-ftz=true", "--ptxas-options=-v")  # ftz as CuPy forces it


@cache
def _library():
    """The shared library, None if the wheel is not installed."""
    package = importlib.util.find_spec("nvidia")
    for folder in package.submodule_search_locations or () if package else ():
        for path in sorted(Path(folder).glob("*/lib/libnvrtc.so.*")):
            if "builtins" not in path.name and "alt" not in path.name:
                return ctypes.CDLL(str(path))
    return None


def obstacle():
    return None if _library() else "NVRTC is not installed; pip install nvidia-cuda-nvrtc"


def version():
    """(major, minor)"""
    numbers = ctypes.c_int(), ctypes.c_int()
    _call("nvrtcVersion", *map(ctypes.byref, numbers))
    return tuple(number.value for number in numbers)


def compiled(source, architecture, *more, text=None):
    """A `.cu` file for `architecture`, sm_90a for example: (code, log); compute_90a gives PTX in place of a cubin."""
    library, program = _library(), ctypes.c_void_p()
    text = source.read_text(encoding="utf-8") if text is None else text
    _call("nvrtcCreateProgram", ctypes.byref(program), text.encode(), source.name.encode(), 0, None, None)
    try:
        options = [option.encode() for option in (*OPTIONS, f"-arch={architecture}", f"-I{source.parent}", *more)]
        status = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        log = _text(program, "ProgramLog").decode()
        if status:
            raise ValueError(f"{source.name} must compile for {architecture}, got {log}")
        return _text(program, "PTX" if architecture.startswith("compute") else "CUBIN"), log
    finally:
        _call("nvrtcDestroyProgram", ctypes.byref(program))


def _call(name, *arguments):
    status = getattr(_library(), name)(*arguments)
    assert status == 0, f"{name} failed with status {status}"


def _text(program, what):
    size = ctypes.c_size_t()
    _call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    _call(f"nvrtcGet{what}", program, buffer)
    return buffer.raw[: size.value].rstrip(b"\0")
