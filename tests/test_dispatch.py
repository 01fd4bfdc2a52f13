"""Which backend runs a call, and why another does not: word for word, on both sides of every limit."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast import _dispatch, _usable
from crossmodal_fast.kernels.tiles import devices, metrics, pool, worth

X = np.eye(3, 4, dtype=np.float32)
NO_CUPY = "cupy is not installed; pip install crossmodal-fast[cuda12] or crossmodal-fast[cuda13]"


@pytest.fixture
def installed(monkeypatch):
    """Pretend that only these libraries are there, beside our own modules."""

    def pretend(*names):
        own = _usable.found
        monkeypatch.setattr(_dispatch, "found", lambda name: name in names or (name.startswith("cross") and own(name)))

    return pretend


@pytest.fixture
def driver(monkeypatch):
    """CuPy's driver with an obstacle of ours."""
    from crossmodal_fast.kernels.tiles.cuda import driver

    return lambda said: monkeypatch.setattr(driver, "obstacle", lambda: said)


@pytest.fixture
def numba_is(monkeypatch):
    """Another module under Numba's name, for `fault`."""

    def pretend(**attributes):
        module = ModuleType("numba")
        vars(module).update(attributes, __spec__=ModuleSpec("numba", None))
        monkeypatch.setitem(sys.modules, "numba", module)
        forget()

    def forget():
        _usable.fault.cache_clear()
        _usable.found.cache_clear()

    yield pretend
    forget()


def refusal(**keywords):
    with pytest.raises(cmf.BackendUnavailable) as caught:
        cmf.topk(X, X, 1, **keywords)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------- what is there


def test_without_libraries_numpy_alone_is_ready(installed):
    installed()
    no_numba = "numba is not installed; pip install numba"
    assert cmf.backends() == {"cuda": NO_CUPY, "numba": no_numba, "numpy": "ready"}
    assert refusal(backend="cuda") == f"topk cannot run with backend='cuda' (cuda: {NO_CUPY})"
    assert refusal(backend="numba") == f"topk cannot run with backend='numba' (numba: {no_numba})"
    assert cmf.topk(X, X, 1, return_stats=True)[2].backend == "numpy"


def test_a_card_is_asked_where_cupy_is_there(installed, driver):
    installed("cupy")
    driver("no CUDA device is visible")
    assert cmf.backends()["cuda"] == "no CUDA device is visible"
    driver(None)
    assert cmf.backends()["cuda"] == "ready"


def test_an_operation_without_a_kernel_of_the_backend(installed):
    installed("cupy")
    with pytest.raises(cmf.BackendUnavailable) as caught:
        _dispatch.implementation("scaling", "cuda", np.zeros((2, 2)), None)
    said = "scaling cannot run with backend='cuda' (cuda: this version has no cuda kernel for scaling)"
    assert str(caught.value) == said


def test_a_backend_without_any_kernel_gives_the_first_reason(monkeypatch):
    """Operations by name: `pairwise` is the first, folders of the engine are none."""
    monkeypatch.setattr(_dispatch, "obstacle", lambda operation, backend: f"{operation} on {backend}")
    assert cmf.backends() == {name: f"pairwise on {name}" for name in ("cuda", "numba", "numpy")}


def test_a_kernel_says_what_it_cannot_run():
    assert refusal(backend="numpy", precision="int8") == (
        "topk cannot run with backend='numpy' (numpy: it scans in float32 or float64, not precision='int8')"
    )


def test_auto_says_what_kept_every_backend(monkeypatch):
    monkeypatch.setattr(_dispatch, "obstacle", lambda operation, backend: f"no {backend}")
    assert refusal() == "topk cannot run with backend='auto' (cuda: no cuda; numba: no numba; numpy: no numpy)"


def test_a_library_is_loaded_only_if_it_is_there(monkeypatch):
    assert _dispatch.loaded("no_such_library_at_all") is None
    assert _dispatch.loaded("json").loads("[1]") == [1]
    monkeypatch.setitem(sys.modules, "no_such_library_at_all", ModuleType("found"))
    assert _dispatch.loaded("no_such_library_at_all").__name__ == "found"
    monkeypatch.setitem(sys.modules, "hidden_library", None)
    assert not _usable.found("hidden_library")
    monkeypatch.setitem(sys.modules, "nameless_library", ModuleType("nameless_library"))  # without a spec
    assert _usable.found("nameless_library") is False


# ------------------------------------------------------------------------------------------------ a library at fault


@pytest.mark.parametrize(
    ("version", "state"),
    [
        ("0.61.0", "ready"),
        ("0.61", "ready"),
        ("1.0", "ready"),
        ("0.60.9", "numba 0.60.9 is too old; pip install 'numba>=0.61'"),
        ("0.9.99", "numba 0.9.99 is too old; pip install 'numba>=0.61'"),
        ("", "numba of no version is too old; pip install 'numba>=0.61'"),
    ],
)
def test_versions_of_numba(version, state, numba_is):
    numba_is(__version__=version)
    assert cmf.backends()["numba"] == state
    if state != "ready":
        assert refusal(backend="numba") == f"topk cannot run with backend='numba' (numba: {state})"
        assert cmf.topk(X, X, 1, backend="auto", return_stats=True)[2].backend == "numpy"


def test_a_numba_that_says_no_version(numba_is):
    numba_is()
    assert cmf.backends()["numba"] == "numba of no version is too old; pip install 'numba>=0.61'"


@pytest.mark.parametrize(
    ("error", "said"),
    [(ImportError("needs NumPy 2.4\nor less"), "needs NumPy 2.4"), (SystemError(), "SystemError")],
)
def test_a_numba_that_cannot_be_imported(error, said, numba_is, monkeypatch):
    def broken(name):
        raise error

    numba_is()
    monkeypatch.setattr(_usable.importlib, "import_module", broken)
    assert _usable.fault("numba") == f"numba cannot be imported ({said})"


def test_a_library_without_a_least_version_is_not_at_fault():
    assert _usable.fault("json") is None


# -------------------------------------------------------------------------------------- what "auto" leaves to the next


class Sized:
    """Rows of which only sizes are asked."""

    dtype = np.dtype(np.float32)

    def __init__(self, *shape, store=None):
        self.shape, self.store = shape, store

    def __len__(self):
        return self.shape[0]

    @property
    def size(self):
        return int(np.prod(self.shape))


EUCLIDEAN, CITYBLOCK = (metrics.metric(name, 8) for name in ("euclidean", "cityblock"))
PREPARED = SimpleNamespace(begins=lambda backend: False)


def numba_objects(operation, *arguments, **keywords):
    return worth.objection("numba", operation, *arguments, **keywords)


@pytest.mark.parametrize("operation", ["topk", "within", "ranks"])
@pytest.mark.parametrize(("loaded", "pairs"), [(True, 1 << 22), (False, 1 << 29)])
def test_a_search_must_pay_for_numba(operation, loaded, pairs, monkeypatch):
    """Of 8 features; less than 4,194,304 multiply-adds with Numba there, 536,870,912 without it."""
    if loaded:
        monkeypatch.setitem(sys.modules, "numba", ModuleType("numba"))
    else:
        monkeypatch.delitem(sys.modules, "numba", raising=False)
    n = pairs // 8 // 64
    assert numba_objects(operation, Sized(64, 8), Sized(n, 8), EUCLIDEAN, precision="auto") is None
    said = numba_objects(operation, Sized(64, 8), Sized(n - 1, 8), EUCLIDEAN, precision="auto")
    assert said == f"NumPy is through with {64 * (n - 1)} pairs of 8 features before Numba is ready"


def test_a_large_gallery_that_is_kept_is_numbas(monkeypatch):
    """Of 8,388,608 numbers, however few the queries."""
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    few = Sized(1, 8)
    assert numba_objects("topk", few, Sized(1 << 20, 8), EUCLIDEAN, precision="auto", prepared=PREPARED) is None
    assert numba_objects("topk", few, Sized((1 << 20) - 1, 8), EUCLIDEAN, precision="auto", prepared=PREPARED)
    assert numba_objects("topk", few, Sized(1 << 20, 8), EUCLIDEAN, precision="auto")


@pytest.mark.parametrize("precision", ["int6", "int7", "int8", "int16"])
def test_integer_codes_are_numbas(precision):
    assert numba_objects("topk", Sized(1, 8), Sized(1, 8), EUCLIDEAN, precision=precision) is None


@pytest.mark.parametrize("precision", ["auto", "float32", "float64"])
def test_small_searches_are_numpys(precision):
    assert numba_objects("topk", Sized(1, 8), Sized(1, 8), EUCLIDEAN, precision=precision)


@pytest.mark.parametrize("operation", ["pairwise", "softmax"])
@pytest.mark.parametrize(("metric", "terms"), [(EUCLIDEAN, 200_000_000), (CITYBLOCK, 20_000_000)])
def test_distances_must_pay_for_numba(operation, metric, terms):
    x, n = Sized(100, 8), terms // 800
    assert numba_objects(operation, x, Sized(n, 8), metric) is None
    said = f"NumPy is through with {terms - 800} terms before Numba is ready"
    assert numba_objects(operation, x, Sized(n - 1, 8), metric) == said


def test_distances_of_rows_among_themselves_must_pay_too():
    assert numba_objects("pairwise", Sized(5000, 8), None, EUCLIDEAN) is None
    said = numba_objects("pairwise", Sized(4999, 8), None, EUCLIDEAN)
    assert said == f"NumPy is through with {4999 * 4999 * 8} terms before Numba is ready"


def test_ready_scores_must_pay_for_numba():
    for operation, more in (("softmax", (None, None)), ("scaling", (None,))):
        assert numba_objects(operation, Sized(1024, 1024), *more) is None
        said = numba_objects(operation, Sized(1024, 1023), *more)
        assert said == f"NumPy is through with {1024 * 1023} scores before Numba is ready"


def test_matrices_must_pay_for_numba():
    """One for all rows only where they are few; 16,777,216 numbers of those that are used at least."""
    one = Sized(4096, 4096)
    assert numba_objects("transfer", Sized(16, 4096), one, None, None) is None
    assert numba_objects("transfer", Sized(17, 4096), one, None, None) == "BLAS maps 17 rows by one matrix"
    said = numba_objects("transfer", Sized(16, 4096), Sized(4095, 4096), None, None)
    assert said == f"NumPy is through with {4095 * 4096} numbers before Numba is ready"
    many, which = Sized(1024, 64, 256), np.zeros(1)
    assert numba_objects("transfer", Sized(1024, 128), many, None, which) is None
    said = numba_objects("transfer", Sized(1023, 128), many, None, which)
    assert said == f"NumPy is through with {1023 * 64 * 256} numbers before Numba is ready"
    assert numba_objects("transfer", Sized(2000, 128), Sized(1023, 64, 256), None, which)


def test_numpy_is_never_left_aside():
    assert worth.objection("numpy", "topk", Sized(1, 1), Sized(1, 1), EUCLIDEAN) is None


def on_card(monkeypatch, x, y, metric=EUCLIDEAN, operation="topk", cupy=True, threads=16, **keywords):
    monkeypatch.setattr(pool, "threads", lambda: threads)
    if cupy:
        monkeypatch.setitem(sys.modules, "cupy", ModuleType("cupy"))
    else:
        monkeypatch.delitem(sys.modules, "cupy", raising=False)
    return worth.objection("cuda", operation, x, y, metric, **keywords)


def crossing(monkeypatch, d, **keywords):
    """The least gallery that a card is worth, by bisection, for 4000 queries."""
    low, high = 1, 1 << 32
    while high - low > 1:
        middle = (low + high) // 2
        if on_card(monkeypatch, Sized(4000, d), Sized(middle, d), **keywords) is None:
            high = middle
        else:
            low = middle
    return high


@pytest.mark.parametrize(("cupy", "first"), [(True, 0.0), (False, 3.0)])
@pytest.mark.parametrize(("prepared", "copied"), [(None, 1), (PREPARED, 1), (SimpleNamespace(begins="cuda".__eq__), 0)])
@pytest.mark.parametrize("threads", [1, 16])
def test_a_card_must_be_twice_as_fast(cupy, first, prepared, copied, threads, monkeypatch):
    """By the operations, the bytes to copy and the time that a first call takes."""
    d, m = 768, 4000
    found = crossing(monkeypatch, d, cupy=cupy, threads=threads, prepared=prepared)

    def gain(n):
        device = 2.0 * m * n * d / 3e13 + 4 * d * (m + copied * n) / 6e9 + 2e-3 + first
        return 2.0 * m * n * d / (1.3e11 * threads) - 2 * device

    assert gain(found) >= 0 > gain(found - 1)


def test_a_gallery_on_the_card_costs_no_copy(monkeypatch):
    """Not even of one row, which is 4 GB here and would take as long again as the query."""
    there = SimpleNamespace(begins="cuda".__eq__)
    assert on_card(monkeypatch, Sized(1, 1 << 30), Sized(90, 1 << 30), threads=1, prepared=there) is None


def test_what_a_card_would_not_do_by_itself(monkeypatch):
    large = Sized(1 << 20, 768)
    for operation in ("topk", "within", "ranks"):
        assert on_card(monkeypatch, large, large, operation=operation) is None
    assert on_card(monkeypatch, large, large, CITYBLOCK) == "metric='cityblock' is not weighed for it"
    said = on_card(monkeypatch, Sized(10, 8), Sized(10, 8))
    assert said == "1.6e+03 operations do not pay for 6.4e+02 bytes to copy"
    for operation in ("pairwise", "softmax", "transfer"):
        found = on_card(monkeypatch, large, large, operation=operation)
        assert found == "its answers differ from the host's in their last bits; name it to have it"


@pytest.mark.parametrize("side", [0, 1])
def test_rows_on_a_card_stay_there(side, monkeypatch):
    """Also those of an operation whose bits differ; a third argument is no rows."""
    sides = [Sized(2, 2), Sized(2, 2)]
    sides[side] = Sized(2, 2, store=SimpleNamespace(on_device=1))
    assert on_card(monkeypatch, *sides) is None
    assert on_card(monkeypatch, *sides, operation="pairwise") is None
    assert on_card(monkeypatch, Sized(2, 2), Sized(2, 2), metric=sides[side], operation="pairwise") == worth.OTHER_BITS


def test_a_search_goes_where_it_pays(monkeypatch):
    """Through `auto`: the same call, before and after it is worth Numba's time."""
    used = []
    for least in (10**9, 0):
        monkeypatch.setattr(worth, "LOADED", least)
        monkeypatch.setattr(worth, "LOADING", least)
        used.append(cmf.topk(X, X, 1, backend="auto", return_stats=True)[2].backend)
    assert used[0] == "numpy"
    assert used[1] in ("numba", "cuda")


# ------------------------------------------------------------------------------------------------------------ devices


def test_devices_hold_inside_the_block_alone():
    assert devices.wanted() is None
    with devices.devices([1]):
        assert devices.wanted() == [1]
        with devices.devices(None):
            assert devices.wanted() == [1]
        with devices.devices("all"):
            assert devices.wanted() == "all"
        assert devices.wanted() == [1]
    assert devices.wanted() is None
