"""Kernels on disk: found again, made anew where anything they depend on changed, and never a reason to fail."""

import contextlib
import hashlib
import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crossmodal_fast.kernels.tiles import jit

SECONDS = 120  # after which a process counts as hung
SAMPLE = """
import math, os, sys
import numpy as np
from numba.core import event
from crossmodal_fast.kernels.tiles import jit

jit.KERNELS = jit.Path(__file__).parent / "none"  # the tests stand apart from the kernels

@jit.part()
def inner(values, i):
    return math.log(values[i]) + math.pow(values[i], 0.5)

@jit.kernel("sample")
def outer(values):
    total = 0.0
    for i in range(values.shape[0]):
        total += inner(values, i)
    return total

class Compiled(event.Listener):
    names = []
    def on_start(self, event):
        self.names.append(event.data["dispatcher"].py_func.__name__)
    def on_end(self, event):
        pass

if __name__ == "__main__":
    values = np.arange(1.0, 6.0)
    with event.install_listener("numba:compile", Compiled()):
        total = outer(values)
    assert abs(total - (np.log(values) + np.sqrt(values)).sum()) < 1e-12
    print("compiled" if "outer" in Compiled.names else "loaded", jit.folder())
"""
FORKS = hasattr(os, "fork")
UNIX = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no such permissions")


# A process that has Numba loaded and its compiler warm forks for each request: a child knows no kernel, and none of the
# folders. It takes a tenth of the time of an interpreter of its own.
FORKING = """
import json, os, runpy, signal, sys, traceback, warnings
import numba, numpy
from crossmodal_fast.kernels.tiles import jit

numba.njit(lambda values: values[0] + 1.0)(numpy.ones(1))
warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
for line in sys.stdin:
    script, before, settings, said, seconds = json.loads(line)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(seconds)
            for stream, name in ((1, "stdout"), (2, "stderr")):
                os.dup2(os.open(os.path.join(said, name), os.O_CREAT | os.O_WRONLY | os.O_TRUNC), stream)
            os.environ.clear()
            os.environ.update(settings)
            exec(before)
            runpy.run_path(script, run_name="__main__")
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def forked():
    """Runs a script in a fork: (exit code, what it said on both streams)."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    command = [sys.executable, "-c", FORKING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=settings) as process:

        def run(script, before, settings):
            request = [str(script), before, settings, str(script.parent), SECONDS]
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            code = int(process.stdout.readline())
            return code, *((script.parent / name).read_text() for name in ("stdout", "stderr"))

        yield run
        process.stdin.close()


@pytest.fixture(autouse=True)
def folders_that_are_ours(tmp_path):
    """Nothing is kept below a /tmp without its sticky bit, or a TMPDIR in somebody else's folder."""
    if around := jit.distrusted(tmp_path):
        pytest.skip(f"another user could replace what is below {around}")


@pytest.fixture
def sample(tmp_path, request):
    """Runs a kernel in a process that knows none: 'compiled' or 'loaded'; alone: in an interpreter of its own."""
    script = tmp_path / "sample.py"
    script.write_text(SAMPLE)

    def run(folder=tmp_path / "cache", before="", alone=not FORKS, **environment):
        settings = os.environ | {jit.ENVIRONMENT: str(folder)} | environment
        settings = {name: value for name, value in settings.items() if value is not None}
        if alone:
            program = f"{before}\nimport runpy, sys\nrunpy.run_path({str(script)!r}, run_name='__main__')"
            done = subprocess.run(
                [sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS, env=settings
            )
            code, said, complaint = done.returncode, done.stdout, done.stderr
        else:
            code, said, complaint = request.getfixturevalue("forked")(script, before, settings)
        assert code == 0, complaint
        assert not complaint, complaint
        return said.split()[0]

    run.script, run.cache = script, tmp_path / "cache"
    return run


def files(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def test_a_kernel_is_compiled_once(sample):
    assert sample(alone=True) == "compiled"
    (kept,) = files(sample.cache)
    assert kept.suffix == ".nbc"
    assert sample(alone=True) == "loaded"
    assert sample() == "loaded"
    assert files(sample.cache) == [kept]


@UNIX
def test_what_is_kept_belongs_to_its_user_alone(sample):
    assert sample(before="import os; os.umask(0)") == "compiled"
    (kept,) = files(sample.cache)
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    assert kept.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A payload on disk and the path of its file."""
    folder = tmp_path / "cache" / ("f" * 16)
    monkeypatch.setattr(jit, "folder", lambda: folder)
    jit._write("name.nbc", b"payload" * 1000)
    assert jit._read("name.nbc") == b"payload" * 1000
    return folder / "name.nbc"


@UNIX
def test_a_file_that_others_could_have_written_is_not_read(kept):
    for mode in (0o622, 0o620, 0o602):
        kept.chmod(mode)
        assert jit._read(kept.name) is None
    jit._write(kept.name, b"mine")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert jit._read(kept.name) == b"mine"


@UNIX
def test_a_folder_that_others_can_write_is_not_used(kept):
    for mode in (0o770, 0o702, 0o777):
        kept.parent.chmod(mode)
        assert jit._read(kept.name) is None
        jit._write("other.nbc", b"mine")
        assert files(kept.parent) == [kept]
    kept.parent.chmod(0o755)
    assert jit._read(kept.name) is not None
    kept.parent.rename(kept.parent.parent / "elsewhere")
    kept.parent.symlink_to(kept.parent.parent / "elsewhere")
    assert jit._read(kept.name) is None


@UNIX
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_another_users_files_are_not_read(kept):
    try:
        os.chown(kept, 1234, 1234)
    except OSError:
        pytest.skip("root of a user namespace that has no other users")
    assert jit._read(kept.name) is None
    os.chown(kept, 0, 0)
    assert jit._read(kept.name) is not None
    os.chown(kept.parent, 1234, 1234)
    assert jit._read(kept.name) is None


@UNIX
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_folders_around_it_that_another_user_owns_or_may_replace(kept):
    """The folder is ours, but whoever owns one around it could put in its place another one of ours."""
    base = kept.parents[1]
    assert jit.distrusted(kept.parent) is None
    try:
        os.chown(base, 1234, 1234)
    except OSError:
        pytest.skip("root of a user namespace that has no other users")
    assert jit.distrusted(kept.parent) == base
    assert jit._read(kept.name) is None
    jit._write("other.nbc", b"mine")
    assert files(base) == [kept]
    os.chown(base, jit.UNKNOWN_USER, 0)
    assert jit._read(kept.name) is not None
    os.chown(base, 0, 0)
    base.rename(base.with_name("elsewhere"))
    base.symlink_to("elsewhere")
    assert jit._read(kept.name) is not None
    os.chown(base, 1234, 1234, follow_symlinks=False)
    assert jit._read(kept.name) is None


@UNIX
def test_a_folder_around_it_that_all_may_write(kept):
    base = kept.parents[1]
    for mode, trusted in ((0o777, False), (0o1777, True), (0o775, True), (0o755, True)):
        base.chmod(mode)
        assert (jit._read(kept.name) is not None) == trusted


@UNIX
def test_folders_that_are_made_belong_to_their_user_alone(tmp_path, monkeypatch):
    made = [tmp_path / ".cache", tmp_path / ".cache" / "ours", tmp_path / ".cache" / "ours" / ("f" * 16)]
    monkeypatch.setattr(jit, "folder", lambda: made[-1])
    before = os.umask(0)
    try:
        jit._write("name.nbc", b"payload")
    finally:
        os.umask(before)
    assert [folder.stat().st_mode & 0o777 for folder in made] == 3 * [0o700]
    assert jit._read("name.nbc") == b"payload"


def test_a_stop_while_a_kernel_is_kept_leaves_nothing(kept, monkeypatch):
    for stop in (KeyboardInterrupt, OSError):
        monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(stop))  # noqa: B023 - called at once
        with contextlib.suppress(KeyboardInterrupt):
            jit._write("other.nbc", b"mine")
        assert files(kept.parent) == [kept]


@UNIX
def test_a_kernel_in_an_open_folder_is_compiled_again(sample):
    sample()
    (kept,) = files(sample.cache)
    kept.parent.chmod(0o777)
    assert sample() == "compiled"
    assert files(sample.cache) == [kept]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: content[:10],
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2] + b"\0" * (len(content) - len(content) // 2),
        lambda content: content[:2000] + bytes([content[2000] ^ 1]) + content[2001:],
        lambda content: b"garbage" * 1000,
        lambda content: b"cos\nsystem\n(S'echo spoiled'\ntR.",
    ],
    ids=["empty", "ten bytes", "one byte short", "half zero", "one bit", "garbage", "a pickle"],
)
def test_spoiled_files_are_not_read(kept, spoil):
    kept.write_bytes(spoil(kept.read_bytes()))
    assert jit._read(kept.name) is None


def test_a_spoiled_kernel_is_compiled_again(sample):
    sample()
    (kept,) = files(sample.cache)
    kept.write_bytes(kept.read_bytes()[:-100])
    assert sample() == "compiled"
    assert sample() == "loaded"


def test_a_whole_file_that_cannot_be_rebuilt_is_made_anew(sample):
    sample()
    (kept,) = files(sample.cache)
    payload = pickle.dumps((1, 2))
    kept.write_bytes(hashlib.sha256(payload).digest() + payload)
    assert sample() == "compiled"
    assert sample() == "loaded"


def test_a_folder_that_cannot_be_made(sample, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert sample(folder=tmp_path / "file" / "cache") == "compiled"


@UNIX
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(sample, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    assert sample(folder=tmp_path / "closed") == "compiled"


@UNIX
def test_a_full_disk_leaves_nothing_behind(sample):
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    limit += "; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))"
    assert sample(before=limit) == "compiled"
    assert files(sample.cache) == []


@UNIX
def test_the_users_own_folder(sample, tmp_path):
    unset = {jit.ENVIRONMENT: None, "XDG_CACHE_HOME": None}
    assert sample(**unset, HOME=str(tmp_path / "home")) == "compiled"
    assert files(tmp_path / "home")
    if sys.platform == "linux":
        assert sample(**unset | {"XDG_CACHE_HOME": str(tmp_path / "home" / ".cache")}) == "loaded"


@UNIX
def test_a_user_without_a_home(sample):
    nobody = "import pwd\ndef none(_): raise KeyError\npwd.getpwuid = none"
    assert sample(before=nobody, **{jit.ENVIRONMENT: None, "XDG_CACHE_HOME": None, "HOME": None}) == "compiled"


def test_processes_that_fill_one_folder_at_once(sample):
    settings = os.environ | {jit.ENVIRONMENT: str(sample.cache)}
    together = [
        subprocess.Popen([sys.executable, str(sample.script)], stdout=subprocess.PIPE, env=settings) for _ in range(3)
    ]
    assert [(one.communicate(timeout=SECONDS)[0].split()[0], one.returncode) for one in together] == [
        (b"compiled", 0)
    ] * 3
    assert len(files(sample.cache)) == 1
    assert sample() == "loaded"


TOGETHER = [  # one process each
    {"NUMBA_DISABLE_JIT": "1"},
    {"NUMBA_CACHE_DIR": "/nowhere", "NUMBA_BOUNDSCHECK": "1", "NUMBA_OPT": "0"},
    {"NUMBA_CPU_NAME": "generic", "NUMBA_ENABLE_AVX": "0"},
]
ALONE = [{name: value} for setting in TOGETHER if len(setting) > 1 for name, value in setting.items()]


@pytest.mark.parametrize(
    "setting",
    [*TOGETHER, *(pytest.param(setting, marks=pytest.mark.heavy) for setting in ALONE)],
    ids=lambda setting: "-".join(f"{name}={value}" for name, value in setting.items()),
)
def test_numbas_own_settings(sample, setting):
    assert sample(alone=True, **setting) == "compiled"


# ------------------------------------------------------------------------------------------------------------ the key


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Digest of a tree of one's own."""
    tree = tmp_path / "kernels"
    (tree / "topk").mkdir(parents=True)
    (tree / "topk" / "a.py").write_text("one")
    (tree / "topk" / "b.py").write_text("two")
    monkeypatch.setattr(jit, "KERNELS", tree)
    return tree, jit._digest.__wrapped__


def test_the_digest_knows_all_source(sources):
    tree, digest = sources
    seen = [digest(), digest()]
    assert seen[0] == seen[1]
    (tree / "topk" / "b.py").write_text("twe")
    seen.append(digest())
    (tree / "topk" / "a.py").rename(tree / "topk" / "c.py")
    seen.append(digest())
    (tree / "top.py").write_text("")
    seen.append(digest())
    (tree / "topk" / "deeper").mkdir()
    (tree / "topk" / "deeper" / "d.py").write_text("")
    seen.append(digest())
    (tree / "topk" / "b.py").write_text("tw")
    (tree / "topk" / "c.py").write_text("eone")
    seen.append(digest())
    assert len(set(seen)) == len(seen) - 1


@pytest.mark.parametrize("module", ["numba", "llvmlite"])
def test_the_digest_knows_versions(sources, monkeypatch, module):
    _, digest = sources
    before = digest()
    monkeypatch.setattr(getattr(jit, module), "__version__", "0.0.1")
    assert digest() != before


def test_the_digest_knows_python_and_the_optimiser(sources, monkeypatch):
    _, digest = sources
    seen = {digest()}
    monkeypatch.setattr(sys, "version", "3.99")
    seen.add(digest())
    for name, value in (("OPT", 1), ("LOOP_VECTORIZE", 0), ("SLP_VECTORIZE", 1)):
        monkeypatch.setattr(jit.config, name, value)
        seen.add(digest())
    assert len(seen) == 5


class Machine:
    def __init__(self, *parts):
        self.parts = parts

    def magic_tuple(self):
        return self.parts


def test_the_name_of_a_file_knows_types_and_cpu():
    stored, other = jit._Stored("sweep-int8"), jit._Stored("sweep-int16")
    here = Machine("x86_64", "znver3", "+avx2")
    names = [
        stored._file((1, 2), here), other._file((1, 2), here), stored._file((1, 3), here),
        stored._file((1, 2), Machine("x86_64", "znver4", "+avx2")),
        stored._file((1, 2), Machine("x86_64", "znver3", "+avx2,+avx512f")),
    ]  # fmt: skip
    assert len(set(names)) == len(names)
    assert stored._file((1, 2), here) == names[0]


def test_old_digests_are_pruned(tmp_path, monkeypatch):
    base = tmp_path / "cache"
    monkeypatch.setattr(jit, "folder", lambda: base / ("f" * 16))
    old = [base / f"{i:016x}" for i in range(6)]
    for i, path in enumerate(old):
        path.mkdir(parents=True)
        (path / "kernel.nbc").write_text("old")
        os.utime(path, (time.time() - 1000 + i,) * 2)
    for name in ("notes", "0" * 15, "g" * 16):
        (base / name).mkdir()
    jit._write("kernel.nbc", b"new")
    assert sorted(path.name for path in base.iterdir()) == sorted(
        ["notes", "0" * 15, "g" * 16, "f" * 16, old[4].name, old[5].name]
    )


# -------------------------------------------------------------------------------------------------------------- forks


@pytest.mark.skipif(not FORKS, reason="this system has no fork")
def test_a_fork_while_another_thread_compiles(sample):
    program = """
import os, sys, threading, time, warnings
import numba, numpy as np
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
import sample
numba.njit(lambda values: values[0] + 1.0)(np.ones(1))  # imports all: forks amid an import hang in Python
first = threading.Thread(target=lambda: sample.outer(np.arange(1.0, 6.0)))
first.start()
time.sleep(0.05)
child = os.fork()
if child == 0:
    sample.outer(np.arange(1.0, 6.0, dtype=np.float32))
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
first.join()
"""
    subprocess.run(
        [sys.executable, "-c", program, str(sample.script.parent)], check=True, timeout=SECONDS,
        env=os.environ | {jit.ENVIRONMENT: str(sample.cache)},
    )  # fmt: skip
    assert len(files(sample.cache)) == 2
