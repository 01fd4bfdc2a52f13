"""A gallery over several GPUs, on an emulator with three: the answer of one, and nobody touches another's memory."""

import time

import numpy as np
import pytest

import cases
import crossmodal_fast as cmf
import simt
from crossmodal_fast.kernels.tiles.cuda import bounds, search
from crossmodal_fast.kernels.topk import gpu_cuda
from searches import border, crowd, crowd_filters, everything
from searches import same as equal
from stores import PairStore, Store
from test_cuda_search import emulated, normal, short_lists  # noqa: F401 - fixtures

pytestmark = pytest.mark.skipif(simt.obstacle() is not None, reason=str(simt.obstacle()))


@pytest.fixture
def three(emulated):  # noqa: F811
    """Puts three devices in place of CuPy."""
    return lambda **options: emulated(devices=3, **options)


def shared(x, y, third, metric="euclidean", devices="all", **keywords):
    with cmf.config_context(devices=devices):
        return everything(x, y, third, metric, backend="cuda", **keywords)


@pytest.mark.parametrize("metric", ["euclidean", "dot", "cosine", "cityblock"])
@pytest.mark.parametrize("name", ["none", "rows", "pairs", "bias"])
def test_all_searches_give_the_bits_of_one_device(name, metric, three, short_lists):  # noqa: F811
    x, y = crowd(m=9, n=181)
    filters = crowd_filters(len(x), len(y))[name]
    driver = three(hostile=bounds.accumulation(x.shape[1]) / 2)
    third = border(x, y, 4, metric, **filters)
    answer = shared(x, y, third, metric, **filters)
    assert driver.used == {0, 1, 2}
    equal(answer, everything(x, y, third, metric, backend="numpy", **filters))


HARD = ["ties-int32", "all-equal", "one-gallery-row", "huge-row-1e30", "near-duplicates-1e-15", "bfloat16"]


@pytest.mark.parametrize("name", HARD)
def test_hard_rows(name, three, short_lists):  # noqa: F811
    x, y = cases.arrays(name)
    three(hostile=bounds.accumulation(x.shape[1]) / 2)
    third = border(x, y, min(3, len(y)))
    equal(shared(x, y, third), everything(x, y, third, backend="numpy"))


def test_not_finite_rows_sort_last_or_are_named_by_their_number_among_all(three, short_lists):  # noqa: F811
    x, y = normal(5, 90, 7)
    y[41, 2], y[70, 3] = np.nan, np.inf
    three()
    third = border(x, y, 4, check_finite=False)
    equal(shared(x, y, third, check_finite=False), everything(x, y, third, backend="numpy", check_finite=False))
    for name in ("topk", "within", "ranks"):
        with pytest.raises(ValueError, match="gallery must be finite, got nan in row 41"):
            getattr(cmf, name)(x, y, third[name], backend="cuda", devices="all")
    y[:], x[3, 1] = 0, np.nan
    with pytest.raises(ValueError, match="queries must be finite, got nan in row 3"):
        cmf.topk(x, y, 3, backend="cuda", devices="all")


def test_more_answers_than_the_host_may_hold_come_in_runs_of_queries(three, monkeypatch):
    monkeypatch.setattr(gpu_cuda, "WAITING_BYTES", 1 << 20)
    x, y = normal(8, 300, 6)
    driver, done = three(), []
    found = cmf.topk(x, y, 30, backend="cuda", devices="all", progress=lambda *part: done.append(part))
    equal(found, cmf.topk(x, y, 30, backend="numpy"))
    assert driver.launched.count("order") > 3
    assert [part for part, _ in done] == sorted(part for part, _ in done)
    assert done[-1] == (2400, 2400)


def test_a_share_smaller_than_k_and_no_query(three):
    x, y = normal(4, 7, 5)
    three()
    assert cmf.topk(x[:0], y, 6, backend="cuda", devices="all").indices.shape == (0, 6)
    equal(cmf.topk(x, y, 6, backend="cuda", devices="all"), cmf.topk(x, y, 6, backend="numpy"))


def test_a_gallery_lies_on_its_devices_and_is_shared_anew_after_it_has_grown(three):
    x, y = normal(6, 240, 9)
    driver = three()
    with cmf.config_context(backend="cuda", devices=[0, 2]):
        gallery = cmf.Gallery(y[:200])
        gallery.topk(x, 3)
        assert driver.used == {0, 2}
        assert gallery.nbytes > y[:200].nbytes
        driver.launched.clear()
        equal(gallery.topk(x, 3), cmf.topk(x, y[:200], 3, backend="numpy"))
        assert driver.launched.count("prepare") == 2  # of queries alone
        gallery.add(y[200:])
        gallery.remove([5])
        left = np.delete(np.arange(240), 5)
        found = gallery.topk(x, 3)
        wanted = cmf.topk(x, y[left], 3, backend="numpy")
        equal(found, (wanted.distances, left[wanted.indices]))
        equal(gallery.within(x, 3.0)[2], cmf.within(x, y[left], 3.0, backend="numpy")[2])


def test_stores_are_read_by_one_thread_at_a_time(three, monkeypatch):
    monkeypatch.setattr(search, "LEAST_ROWS", 40)
    x, y = normal(5, 300, 6)

    class Alone(Store):
        reading = 0

        def __getitem__(self, part):
            self.reading += 1
            assert self.reading == 1
            time.sleep(0.001)
            found = super().__getitem__(part)
            self.reading -= 1
            return found

    three()
    mask = np.random.default_rng(3).random((5, 300)) < 0.7
    third = border(x, y, 4, mask=mask)
    wanted = everything(x, y, third, backend="numpy", mask=mask)
    equal(shared(Alone(x), Alone(y), third, mask=PairStore(mask)), wanted)


def test_memory_that_one_device_lacks(three):
    x, y = normal(40, 3000, 16)
    driver = three(largest=60_000)
    equal(cmf.topk(x, y, 3, "cosine", backend="cuda", devices="all"), cmf.topk(x, y, 3, "cosine", backend="numpy"))
    assert driver.released >= 1


def test_an_interrupt_reaches_all(three):
    x, y = normal(5, 300, 6)
    three()

    def progress(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cmf.topk(x, y, 3, backend="cuda", devices="all", progress=progress)
    equal(cmf.topk(x, y, 3, backend="cuda", devices="all"), cmf.topk(x, y, 3, backend="numpy"))


def test_devices_that_are_not_there(three):
    x, y = normal(5, 300, 6)
    three()
    with pytest.raises(ValueError, match="devices must be numbers of those that are visible, below 3, got 3"):
        cmf.topk(x, y, 3, backend="cuda", devices=[0, 3])
    for wrong in ("both", [], [-1], [True], 2, [0.5], {0}):
        with pytest.raises(ValueError, match="devices must be 'all', numbers of GPUs in a list, or None"):
            cmf.topk(x, y, 3, devices=wrong)
    equal(cmf.topk(x, y, 3, backend="numpy", devices=[9]), cmf.topk(x, y, 3, backend="numpy"))


def test_one_device_of_several(three):
    x, y = normal(5, 300, 6)
    driver = three()
    equal(cmf.topk(x, y, 3, backend="cuda", devices=[1]), cmf.topk(x, y, 3, backend="numpy"))
    assert driver.used == {1}
