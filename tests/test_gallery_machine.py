"""A gallery in memory and one in a file, through any sequence of changes: always what a list of rows would be."""

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import crossmodal_fast as cmf
import judge
from crossmodal_fast.kernels.topk import reference as topk_law

FEATURES, MOST_ADDED = 3, 12
METRICS = ("euclidean", "dot", "cosine", "cityblock", "seuclidean")
METRIC_KWARGS = {"seuclidean": {"V": np.array([1.0, 2.0, 0.5])}}
BACKENDS = ("numpy", "numba")
numbers = st.integers(0, 2**32 - 1)


def drawn(seed, rows, dtype):
    """Whole numbers with ties and equal rows, some of them scaled to halves and thirds."""
    rng = np.random.default_rng(seed)
    return (rng.integers(-3, 4, (rows, FEATURES)) / rng.choice([1, 2, 3])).astype(dtype)


class Machine(RuleBasedStateMachine):
    """`ids` and `vectors` are the law; `memory` and `file` must be the same."""

    folder = None  # set by the test

    @initialize(seed=numbers, rows=st.integers(1, MOST_ADDED), metric=st.sampled_from(METRICS), wide=st.booleans())
    def begin(self, seed, rows, metric, wide):
        self.metric, self.dtype = metric, np.float64 if wide else np.float32
        self.vectors, self.ids = drawn(seed, rows, self.dtype), np.arange(rows)
        self.about = {"metric": metric, "metric_kwargs": METRIC_KWARGS.get(metric)}
        self.memory, self.number = cmf.Gallery(self.vectors, **self.about), 0
        self.kept = None
        self._to_file()

    def _to_file(self):
        self.number += 1
        path = self.folder / f"{id(self)}-{self.number}.cmf"
        self.memory.save(path)
        self.path, self.file = path, cmf.Gallery.load(path, on_disk=True, writable=True)

    def both(self):
        return self.memory, self.file

    @rule(seed=numbers, rows=st.integers(1, MOST_ADDED), own=st.booleans())
    def add(self, seed, rows, own):
        new = drawn(seed, rows, self.dtype)
        ids = np.setdiff1d(np.random.default_rng(seed).permutation(1000) + 500, self.ids)[:rows] if own else None
        for gallery in self.both():
            gallery.add(new, **({} if ids is None else {"ids": ids}))
        first = int(self.ids.max(initial=-1)) + 1
        self.vectors = np.concatenate([self.vectors, new])
        self.ids = np.concatenate([self.ids, np.arange(first, first + rows) if ids is None else ids])

    @precondition(lambda self: len(self.ids) > 1)
    @rule(seed=numbers)
    def remove(self, seed):
        rng = np.random.default_rng(seed)
        gone = rng.permutation(self.ids)[: int(rng.integers(1, len(self.ids)))]
        for gallery in self.both():
            gallery.remove(gone)
        left = ~np.isin(self.ids, gone)
        self.vectors, self.ids = self.vectors[left], self.ids[left]

    @rule(seed=numbers)
    def refused(self, seed):
        """What is refused changes nothing."""
        for gallery in self.both():
            with pytest.raises(ValueError, match="must"):
                gallery.add(drawn(seed, 2, self.dtype), ids=[7000, int(self.ids[0])])
            with pytest.raises(ValueError, match="must"):
                gallery.add(np.full((1, FEATURES), np.nan, self.dtype))
            with pytest.raises(KeyError, match="must"):
                gallery.remove([int(self.ids[0]), 8000])

    @rule()
    def save_and_load(self):
        self._to_file()
        self.memory = cmf.Gallery.load(self.path)

    @rule()
    def open_again(self):
        del self.file
        self.file = cmf.Gallery.load(self.path, on_disk=True, writable=True)

    @rule()
    def keep(self):
        """A reader keeps the state that it opened."""
        self.kept = cmf.Gallery.load(self.path, on_disk=True), self.vectors, self.ids

    @precondition(lambda self: self.kept)
    @rule(seed=numbers)
    def look_at_the_kept(self, seed):
        gallery, vectors, ids = self.kept
        self._searched(gallery, vectors, ids, seed, "numpy")

    @rule(seed=numbers, backend=st.sampled_from(BACKENDS))
    def search(self, seed, backend):
        for gallery in self.both():
            self._searched(gallery, self.vectors, self.ids, seed, backend)

    def _searched(self, gallery, vectors, ids, seed, backend):
        rng = np.random.default_rng(seed)
        queries, k = drawn(seed, 4, self.dtype), int(rng.integers(1, len(ids) + 1))
        mask = rng.random(len(ids)) < 0.7 if rng.random() < 0.4 else None
        law = cmf.topk(queries, vectors, k, mask=mask, backend="numpy", **self.about)
        if self.metric not in METRIC_KWARGS:
            judge.same_bits(law, topk_law.topk(queries, vectors, k, self.metric, mask=mask), self.dtype)
        found = gallery.topk(queries, k, mask=mask, backend=backend)
        np.testing.assert_array_equal(found.distances, law.distances)
        np.testing.assert_array_equal(found.indices, np.where(law.indices < 0, -1, ids[law.indices]))
        radius = float(np.median(np.append(law.distances[np.isfinite(law.distances)], 1.0)))
        indptr, inside, _ = gallery.within(queries, radius, mask=mask, backend=backend)
        wanted = cmf.within(queries, vectors, radius, mask=mask, backend="numpy", **self.about)
        np.testing.assert_array_equal(indptr, wanted.indptr)
        np.testing.assert_array_equal(inside, ids[wanted.indices])

    @invariant()
    def the_same_rows(self):
        if not hasattr(self, "ids"):
            return
        for gallery in self.both():
            np.testing.assert_array_equal(gallery.ids, self.ids)
            np.testing.assert_array_equal(gallery.vectors, self.vectors)
            assert len(gallery) == len(self.ids)


@pytest.mark.parametrize("examples", [8, pytest.param(400, marks=pytest.mark.heavy)])
def test_any_sequence_of_changes(examples, tmp_path):
    class Here(Machine):
        folder = tmp_path

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=examples, stateful_step_count=12, deadline=None, derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
