"""Defaults: per call before context before process; a named backend is a demand, "auto" a preference."""

import asyncio
import threading

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast import _config, _dispatch

X, Y = np.eye(3, 4), np.eye(5, 4)
ARGUMENTS = {
    "topk": [1], "topk_both": [1], "within": [1.0], "ranks": [[0, 1, 2]], "pairwise_distances": [], "similarity": [],
    "transfer": [],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    monkeypatch.delenv("CROSSMODAL_FAST_BACKEND", raising=False)
    before = {name: getattr(cmf.config, name) for name in _config.CHECKS}
    yield
    for name, value in before.items():
        setattr(cmf.config, name, value)


def settled(**control):
    return _config.resolve(control)


def test_call_before_context_before_process():
    assert settled().max_bytes == 1 << 30
    cmf.config.max_bytes = 1 << 29
    assert settled().max_bytes == 1 << 29
    with cmf.config_context(max_bytes=1 << 28) as inside:
        assert inside.max_bytes == 1 << 28
        assert settled().max_bytes == 1 << 28
        assert settled(max_bytes=1 << 27).max_bytes == 1 << 27
        with cmf.config_context(n_threads=1):
            assert (settled().max_bytes, settled().n_threads) == (1 << 28, 1)
        assert settled().n_threads is None
    assert settled().max_bytes == 1 << 29


def test_whole_numbers_of_numpy_are_whole_numbers():
    expected = cmf.topk(X, Y, 2)
    for whole in (np.int64, np.int32, np.uint8):
        given = {"max_bytes": whole(127) * np.int64(1 << 20), "n_threads": whole(1)}
        for part, other in zip(cmf.topk(X, Y, whole(2), **given), expected, strict=True):
            np.testing.assert_array_equal(part, other)
    with cmf.config_context(max_bytes=np.int64(1 << 28)) as inside:
        assert inside.max_bytes == 1 << 28


def test_a_call_reads_the_defaults():
    cmf.config.max_bytes = 1
    with pytest.raises(ValueError, match="max_bytes must be at least"):
        cmf.topk(X, Y, 1)
    cmf.topk(X, Y, 1, max_bytes=1 << 28)
    with cmf.config_context(max_bytes=1 << 28):
        cmf.topk(X, Y, 1)


def test_check_finite_by_default_and_by_context():
    bad = Y.copy()
    bad[2, 1] = np.nan
    with pytest.raises(ValueError, match="gallery must be finite"):
        cmf.topk(X, bad, 5)
    with cmf.config_context(check_finite=False):
        assert cmf.topk(X, bad, 5).indices[:, -1].tolist() == [2, 2, 2]
        with pytest.raises(ValueError, match="gallery must be finite"):
            cmf.topk(X, bad, 5, check_finite=True)


def test_a_context_ends_with_an_error_inside():
    with pytest.raises(ZeroDivisionError), cmf.config_context(n_threads=1):
        raise ZeroDivisionError
    assert settled().n_threads is None


def test_a_context_is_of_its_thread():
    seen = []
    with cmf.config_context(n_threads=1):
        thread = threading.Thread(target=lambda: seen.append(settled().n_threads))
        thread.start()
        thread.join()
    assert seen == [None]


def test_a_context_is_of_its_task():
    async def task(threads):
        with cmf.config_context(n_threads=threads):
            await asyncio.sleep(0)
            return settled().n_threads

    async def both():
        return await asyncio.gather(task(1), task(2))

    assert asyncio.run(both()) == [1, 2]


def test_environment_context_and_call_choose_the_backend(monkeypatch):
    assert settled().backend == "auto"
    monkeypatch.setenv("CROSSMODAL_FAST_BACKEND", "numpy")
    assert settled().backend == "numpy"
    with cmf.use_backend("numba"):
        assert settled().backend == "numba"
        assert settled(backend="numpy").backend == "numpy"
    with cmf.use_backend("numpy"):
        assert cmf.topk(X, Y, 1, return_stats=True)[2].backend == "numpy"


def test_auto_takes_the_first_that_can(backend):
    _, _, stats = cmf.topk(X, Y, 1, return_stats=True, backend="auto")
    assert cmf.backends()[stats.backend] == "ready"
    assert cmf.backends()["numpy"] == "ready"
    assert list(cmf.backends()) == ["cuda", "numba", "numpy"]


@pytest.mark.parametrize("operation", ARGUMENTS)
def test_a_name_is_a_demand(operation, monkeypatch):
    """A backend that cannot run is never replaced by another: it says why, and `backends` gives the same reason."""
    missing = "no such library"
    monkeypatch.setattr(_dispatch, "obstacle", lambda *names: missing if names[-1] != "numpy" else None)
    arguments = X, Y, *ARGUMENTS[operation]
    for name in ("cuda", "numba"):
        with pytest.raises(cmf.BackendUnavailable, match=rf"cannot run with backend='{name}' \({name}: {missing}"):
            getattr(cmf, operation)(*arguments, backend=name)
        with pytest.raises(cmf.BackendUnavailable), cmf.use_backend(name):
            getattr(cmf, operation)(*arguments)
    getattr(cmf, operation)(*arguments)
    getattr(cmf, operation)(*arguments, backend="numpy")


def test_backends_that_cannot_run_say_why():
    for name, state in cmf.backends().items():
        assert isinstance(state, str)
        if state != "ready":
            with pytest.raises(cmf.BackendUnavailable, match=f"backend='{name}'"):
                cmf.topk(X, Y, 1, backend=name)


@pytest.mark.parametrize("operation", [name for name in ARGUMENTS if name != "similarity"])
def test_progress_is_told_in_order_and_to_the_end(operation):
    told = []
    x, y = np.zeros((600, 3), np.float32), np.arange(15_000, dtype=np.float32).reshape(5000, 3)
    more = [np.arange(600)] if operation == "ranks" else ARGUMENTS[operation]
    getattr(cmf, operation)(x, y, *more, progress=lambda done, total: told.append((done, total)), max_bytes=1 << 26)
    done, totals = zip(*told, strict=True)
    assert list(done) == sorted(done)
    assert len(set(totals)) == 1
    assert done[-1] == totals[0]
    assert done[0] > 0


def test_progress_is_silent_off_a_terminal(capfd):
    cmf.topk(X, Y, 1, progress=True)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_an_error_in_progress_reaches_the_caller():
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cmf.topk(X, Y, 1, progress=stop)
    cmf.topk(X, Y, 1)


def test_threads_are_given_back():
    from threadpoolctl import threadpool_info

    before = [pool["num_threads"] for pool in threadpool_info()]
    cmf.topk(X, Y, 1, n_threads=1)
    with pytest.raises(ValueError, match="k must be"):
        cmf.topk(X, Y, 9, n_threads=1)
    assert [pool["num_threads"] for pool in threadpool_info()] == before


def test_callers_in_many_threads_do_not_disturb_each_other():
    rng = np.random.default_rng(91)
    jobs = [(rng.standard_normal((40, 8)), rng.standard_normal((700, 8)), k) for k in range(1, 9)]
    alone = [cmf.topk(*job) for job in jobs]
    together = [None] * len(jobs)

    def work(at):
        with cmf.config_context(max_bytes=(1 << 24) + at):
            together[at] = cmf.topk(*jobs[at])

    threads = [threading.Thread(target=work, args=(at,)) for at in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.indices, other.indices)
        np.testing.assert_array_equal(one.distances, other.distances)
