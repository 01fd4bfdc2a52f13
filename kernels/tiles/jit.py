"""Numba functions that are compiled once a machine: kept on disk under a key that knows all of their source.

Numba's own cache looks at the file of a function alone, so that a change in a file it calls goes unseen, and it cannot
keep closures over intrinsics. Here the key is the name of the kernel, what it was made for, the types it is called
with, the CPU, and a digest of every file of the kernels. A folder that cannot be written, or that others can write,
costs a compilation, nothing else.

On a busy 2-core Zen 3 a first `topk` with an empty folder took a quarter less of a core than with plain `njit` (7.4 s
for 9.7 s): parts are neither optimised nor translated by themselves, and passes for what no kernel holds are left out.
With a full folder it took 0.9 s for 1.5 s: loading a kernel fills none of Numba's registries, which import SciPy.
"""

import contextlib
import ctypes
import gc
import hashlib
import os
import pickle
import re
import shutil
import stat
import sys
import tempfile
from functools import cache
from pathlib import Path

import llvmlite
import numba
import numpy as np
from llvmlite import ir
from llvmlite.binding import Linkage
from numba.core import cgutils, compiler, config, types
from numba.core.caching import NullCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher
from numba.core.runtime import rtsys
from numba.extending import intrinsic

ENVIRONMENT = "CROSSMODAL_FAST_CACHE_DIR"
KERNELS = Path(__file__).parents[1]
GENERATIONS = 3  # digests whose kernels are kept: the newest, and those of versions used beside it
UNKNOWN_USER = 65534  # whom Linux names where the owner is none of the users of a container
DIGEST_BYTES = hashlib.sha256().digest_size  # in front of what a file holds
DROPPED = {  # passes for what no kernel here holds: with blocks, closures, array expressions, literal_unroll
    "WithLifting", "InlineClosureLikes", "RewriteDynamicRaises", "MakeFunctionToJitFunction", "InlineInlinables",
    "FindLiterallyCalls", "LiteralUnroll", "LiteralPropagationSubPipelinePass", "InlineOverloads", "NopythonRewrites",
    "DumpParforDiagnostics",
}  # fmt: skip


def kernel(*made_for, **options):
    """Like `numba.njit(nogil=True)`, for a kernel that Python calls; `made_for`: what tells it from its like, in words.

    Plain loops only: an array expression is evaluated step by step, a closure is an error.
    """

    def decorate(function):
        function.__qualname__ = "-".join([function.__qualname__, *made_for])  # its symbol: no two kernels may share one
        dispatcher = _dispatcher(function, _Kernel, options)
        dispatcher._cache = _Stored("-".join([function.__module__.rpartition(".")[2], function.__name__, *made_for]))
        return dispatcher

    return decorate


def part(**options):
    """The same for a function that only kernels call."""
    return lambda function: _dispatcher(function, _Part, {"no_cpython_wrapper": True, **options})


def _dispatcher(function, pipeline, options):
    """What `njit` makes, also where NUMBA_DISABLE_JIT or NUMBA_BOUNDSCHECK ask for something else."""
    fixed = {"nopython": True, "nogil": True, "boundscheck": False, "error_model": "numpy", "no_cfunc_wrapper": True}
    return CPUDispatcher(function, targetoptions=fixed | options, pipeline_class=pipeline)


if hasattr(os, "register_at_fork"):  # else a child may find the lock of another thread's compilation held
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )


# ----------------------------------------------------------------------------------------------------- compiled at once


class _Kernel(compiler.CompilerBase):
    """Numba's compiler with fewer passes."""

    def library(self):
        return _Whole

    def _compile_core(self):
        """Without the collector of cycles, which finds none in a compiler's objects and takes a seventh of the time."""
        collecting = gc.isenabled()
        gc.disable()
        try:
            return super()._compile_core()
        finally:
            if collecting:
                gc.enable()

    def define_pipelines(self):
        passes = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [step for step in passes.passes if step[0].__name__ not in DROPPED]
        passes.finalize()
        self.state.library = self.library()(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
        self.state.library.enable_object_caching()
        return [passes]


class _Part(_Kernel):
    def library(self):
        return _Within


class _Whole(JITCodeLibrary):
    """Code of a kernel: optimised once, when all of its parts are in it."""

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        """Parts belong to their kernel alone: two kernels from disk may hold different ones of the same symbol."""
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage == Linkage.linkonce_odr:
                function.linkage = Linkage.internal
        super()._optimize_final_module()


class _Within(_Whole):
    """Code of a part: for kernels to take in, never run by itself."""

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name):
        self._ensure_finalized()
        return 0

    @property
    def codegen(self):
        return _Unlinked()


class _Unlinked:
    """In place of the engine, where code has no address."""

    def set_env(self, name, environment):
        pass


def plain(array, dtype=None):
    """The array in rows, and writable though nobody writes: Numba compiles a kernel anew for an array that is not."""
    array = np.ascontiguousarray(array, dtype)
    if array.flags.writeable or not array.size:
        return array
    memory = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
    memory.owner = array
    return np.ndarray(array.shape, array.dtype, memory)


@intrinsic
def borrowed(typing, value):
    """An array, or a tuple with arrays, whose references nobody counts; the caller keeps it alive.

    Counting is atomic: two threads that hand the same arrays from function to function spend half their time on it.
    """

    def emit(context, builder, signature, given):
        return _uncounted(context, builder, signature.args[0], given[0])

    return value(value), emit


def _uncounted(context, builder, kind, value):
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        array.parent = cgutils.get_null_value(array.parent.type)
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        for at, part in enumerate(kind):
            inner = _uncounted(context, builder, part, builder.extract_value(value, at))
            value = builder.insert_value(value, inner, at)
    return value


@intrinsic
def address_of(typing, array):
    """Address of the first entry: `array.ctypes.data`, which takes ten times as long to compile."""

    def emit(context, builder, signature, given):
        data = context.make_array(signature.args[0])(context, builder, given[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.int64(array), emit


@cache
def entry(kernel, arguments):
    """Address of a kernel's machine code; it takes so many int64 and gives nothing."""
    signature = (types.int64,) * arguments
    kernel.compile(signature)
    compiled = kernel.overloads[signature]
    return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


@intrinsic
def called(typing, address, arguments):
    """Run the kernel whose `entry` that is with a tuple of int64: callers need not be compiled for it."""

    def emit(context, builder, signature, given):
        address, arguments = given
        kinds = tuple(signature.args[1])
        function = context.call_conv.get_function_type(types.none, kinds)
        values = [builder.extract_value(arguments, at) for at in range(len(kinds))]
        code = builder.inttoptr(address, function.as_pointer())
        context.call_conv.call_function(builder, code, types.none, kinds, values)
        return context.get_dummy_value()

    return types.none(address, arguments), emit


# ------------------------------------------------------------------------------------------------------------- on disk


@cache
def folder():
    """Where compiled kernels are kept: CROSSMODAL_FAST_CACHE_DIR or the user's cache folder; None without a home."""
    try:
        if given := os.environ.get(ENVIRONMENT):
            base = Path(given)
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches" / "crossmodal_fast"
        elif sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "crossmodal_fast"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crossmodal_fast"
    except RuntimeError:  # no home
        return None
    return base.absolute() / _digest()


@cache
def _digest():
    """Of all that the machine code depends on beside the types and the CPU."""
    settings = config.OPT, config.LOOP_VECTORIZE, config.SLP_VECTORIZE
    found = hashlib.sha256(f"{sys.version} {numba.__version__} {llvmlite.__version__} {settings}".encode())
    for path in sorted(path for path in KERNELS.rglob("*.py") if "cuda" not in path.relative_to(KERNELS).as_posix()):
        source = path.read_bytes()
        found.update(f"{path.relative_to(KERNELS).as_posix()} {len(source)} ".encode() + source)
    return found.hexdigest()[:16]


def _ours(status, kind):
    """Whether a file or folder is of the kind, belongs to this user, and nobody else may write it."""
    if not kind(status.st_mode):
        return False
    return not hasattr(os, "geteuid") or (status.st_uid == os.geteuid() and not status.st_mode & 0o022)


def distrusted(path):
    """The first folder or link around `path` by which another user could put a folder in its place; None if none is.

    One that belongs to another user, root apart, or that all may write and take each other's files from. Of a user whom
    a container does not know, whoever that is, only the second counts; a group that may write counts as friends.
    """
    if not hasattr(os, "geteuid"):
        return None
    real = Path(os.path.realpath(path))
    for around in dict.fromkeys([*path.parents, *real.parents]):
        with contextlib.suppress(OSError):  # not there, or nobody gets that far
            status = os.lstat(around)
            taken = status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX
            if status.st_uid not in (0, os.geteuid(), UNKNOWN_USER) or (taken and not stat.S_ISLNK(status.st_mode)):
                return around
    return None


class _Stored(NullCache):
    """The cache of one dispatcher."""

    def __init__(self, name):
        self.name = name

    @property
    def cache_path(self):
        return str(folder())

    def _file(self, signature, codegen):
        """Name of the file: CompileResults of a signature for a CPU."""
        types_and_machine = tuple(getattr(signature, "args", signature)), codegen.magic_tuple()
        return f"{self.name}-{hashlib.sha256(repr(types_and_machine).encode()).hexdigest()[:24]}.nbc"

    def load_overload(self, sig, target_context):
        payload = _read(self._file(sig, target_context.codegen()))
        if payload is None:
            return None
        rtsys.initialize(target_context)  # what compiled code calls; the registries of the compiler stay empty
        try:
            return compiler.CompileResult._rebuild(target_context, *pickle.loads(payload))  # noqa: S301 - ours alone: _read
        except (pickle.UnpicklingError, AttributeError, ImportError, LookupError, TypeError, ValueError):
            return None  # written by an installation that had more modules

    def save_overload(self, sig, data):
        data = data._replace(type_annotation="")  # the source with the type of each variable, for humans
        file, payload = self._file(sig, data.target_context.codegen()), pickle.dumps(data._reduce(), protocol=-1)
        for environment in data._find_referenced_environments():  # also those of the parts
            data.library.codegen.set_env(environment.env_name, environment)
        _write(file, payload)


def _read(name):
    """What `_write` has put there: None if that is not all there, or not ours alone."""
    if folder() is None:
        return None
    try:
        if not _ours(os.lstat(folder()), stat.S_ISDIR) or distrusted(folder()):
            return None
        with open(folder() / name, "rb") as file:
            if not _ours(os.fstat(file.fileno()), stat.S_ISREG):
                return None
            content = file.read()
    except OSError:
        return None
    digest, payload = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    return payload if hashlib.sha256(payload).digest() == digest else None


def _write(name, payload):
    if folder() is None or distrusted(folder()):
        return
    with contextlib.suppress(OSError):  # read-only, full: the kernel is there, only not kept
        if not folder().is_dir():
            for around in (*reversed(folder().parents), folder()):  # a umask of 0 makes what nobody may trust
                around.mkdir(mode=0o700, exist_ok=True)
            _prune()
        if not _ours(os.lstat(folder()), stat.S_ISDIR) or distrusted(folder()):
            return
        handle, path = tempfile.mkstemp(".partial", dir=folder())
        try:
            with open(handle, "wb") as file:
                file.write(hashlib.sha256(payload).digest() + payload)
            os.replace(path, folder() / name)
        except BaseException:
            Path(path).unlink(missing_ok=True)
            raise


def _prune():
    """Remove the kernels of older sources."""
    others = [
        path for path in folder().parent.iterdir() if re.fullmatch(r"[0-9a-f]{16}", path.name) and path != folder()
    ]
    for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)[GENERATIONS - 1 :]:
        shutil.rmtree(path, ignore_errors=True)
