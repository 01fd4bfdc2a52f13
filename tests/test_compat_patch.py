"""`compat.patch`: ours inside the block, the peer's own before and afterwards."""

import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.spatial.distance
import sklearn.metrics
import sklearn.metrics.pairwise
import sklearn.neighbors

import crossmodal_fast as cmf
from crossmodal_fast.compat import PEERS, _patch, patch
from crossmodal_fast.compat import scipy as our_scipy
from crossmodal_fast.compat import sklearn as our_sklearn
from imported_peers import peer_or_none

X = np.random.default_rng(15).standard_normal((6, 3))
CDIST = scipy.spatial.distance.cdist
PAIRWISE = sklearn.metrics.pairwise_distances
LIGHT = """
import sys
import crossmodal_fast
from crossmodal_fast.compat import {names}
print(sorted({{name.partition(".")[0] for name in sys.modules}} & {{"faiss", "numba", "scipy", "sklearn", "torch", "ot",
    "sentence_transformers", "cupy", "cuvs", "mteb"}}))
"""


def held(peer):
    """Everything that a patch of this peer swaps, as it is now."""
    return {
        f"{module}.{name}": getattr(sys.modules[module], name)
        for module, names in _patch.TABLE[peer]
        for name in names
        if module in sys.modules and hasattr(sys.modules[module], name)
    }


@pytest.mark.parametrize("peer", ["scipy", "sklearn"])
def test_all_names_are_swapped_and_restored(peer):
    before = held(peer)
    with patch(peer) as names:
        assert sorted(names) == sorted(before)
        module = getattr(cmf.compat, peer)
        assert held(peer) == {name: getattr(module, name.rpartition(".")[2]) for name in names}
    assert held(peer) == before


def test_existing_code_runs_on_ours():
    def existing(rows):
        return sklearn.metrics.pairwise_distances(rows), scipy.spatial.distance.cdist(rows, rows)

    far = np.array([[1e9, 0.0], [1e9, 2.0**-10]])
    assert existing(far)[0][0, 1] != 2.0**-10  # cancels
    with patch("sklearn"), patch("scipy"):
        found = existing(far)
    assert found[0][0, 1] == found[1][0, 1] == 2.0**-10


def test_estimators_that_others_took_before_search_with_ours():
    rows = 1e8 + np.arange(20.0)[:, None] * 2.0**-10 + np.zeros(20)
    taken_before = sklearn.neighbors.NearestNeighbors(n_neighbors=5, algorithm="brute", radius=2.0**-7).fit(rows)
    expected = np.abs(np.arange(20)[:, None] - np.arange(20)).argsort(axis=1, kind="stable")[:, :5]
    assert (taken_before.kneighbors(rows)[1] != expected).any()  # cancels
    with cmf.use_backend("numpy"), patch("sklearn"):
        np.testing.assert_array_equal(taken_before.kneighbors(rows)[1], expected)
        distances, indices = taken_before.radius_neighbors(rows[:1])
        nearest = sklearn.metrics.pairwise_distances_argmin(rows, rows + 2.0**-12)
        new = sklearn.neighbors.NearestNeighbors().fit(rows)
    assert indices[0].tolist() == [0, 1]
    assert distances[0].tolist() == [0, np.sqrt(20) * 2.0**-10]
    assert nearest.tolist() == list(range(20))
    assert type(new) is cmf.estimators.NearestNeighbors
    labels = [*range(10), *range(10)]
    for kind in (sklearn.neighbors.KNeighborsClassifier(1), sklearn.neighbors.RadiusNeighborsClassifier(2.0**-10)):
        classifier = kind.set_params(algorithm="brute").fit(rows, labels)
        assert classifier.predict(rows[1:]).tolist() != labels[1:]
        with cmf.use_backend("numpy"), patch("sklearn"):
            assert classifier.predict(rows[1:]).tolist() == labels[1:]
    assert (taken_before.kneighbors(rows)[1] != expected).any()


def test_what_is_passed_on_reaches_the_peers_own():
    expected = PAIRWISE(X, metric="seuclidean"), CDIST(X, X, "yule")
    with patch("sklearn"), patch("scipy"):
        np.testing.assert_array_equal(sklearn.metrics.pairwise_distances(X, metric="seuclidean"), expected[0])
        np.testing.assert_array_equal(scipy.spatial.distance.cdist(X, X, "yule"), expected[1])
        nearest = sklearn.metrics.pairwise_distances_argmin(X, X, metric=lambda a, b: abs(a - b).max())
    assert nearest.tolist() == list(range(6))


def test_an_exception_restores():
    with pytest.raises(KeyError), patch("scipy"):
        raise KeyError
    assert scipy.spatial.distance.cdist is CDIST


def test_blocks_inside_blocks():
    with patch("scipy"):
        with patch("scipy"), patch("sklearn"):
            pass
        assert scipy.spatial.distance.cdist is our_scipy.cdist
        assert sklearn.metrics.pairwise_distances is PAIRWISE
    assert scipy.spatial.distance.cdist is CDIST


def test_blocks_of_threads_that_overlap():
    """The first thread to enter leaves first, and the other still has ours."""
    inside, left = threading.Event(), threading.Event()
    seen = []

    def second():
        with patch("scipy"):
            inside.set()
            assert left.wait(240)
            seen.append(scipy.spatial.distance.cdist)

    thread = threading.Thread(target=second)
    with patch("scipy"):
        thread.start()
        assert inside.wait(240)
    left.set()
    thread.join()
    assert seen == [our_scipy.cdist]
    assert scipy.spatial.distance.cdist is CDIST


def test_as_a_decorator():
    @patch("sklearn")
    def inside():
        return sklearn.metrics.pairwise_distances

    assert inside() is our_sklearn.pairwise_distances
    assert inside() is our_sklearn.pairwise_distances
    assert sklearn.metrics.pairwise_distances is PAIRWISE


def test_what_is_refused():
    with pytest.raises(ValueError, match="peer must be one of"), patch("numpy"):
        pass


@pytest.mark.parametrize("peer", [name for name in _patch.TABLE if peer_or_none(name) is None] or ["none"])
def test_a_peer_that_is_not_installed(peer):
    if peer == "none":
        pytest.skip("all peers are installed")
    with (
        pytest.raises(ModuleNotFoundError, match=r"^patch needs .*, which is not installed: pip install "),
        patch(peer),
    ):
        pass
    assert not any(module.partition(".")[0] == peer for module, _ in _patch.SWAPPED)


@pytest.mark.parametrize("peer", [name for name in _patch.TABLE if name not in ("scipy", "sklearn")])
def test_other_peers(peer):
    if peer_or_none(peer) is None:
        pytest.skip(f"{peer} is not installed")
    before = held(peer)
    with patch(peer) as names:
        assert names
        assert all(value.__module__.startswith("crossmodal_fast.compat") for value in held(peer).values())
    assert held(peer) == before


def test_the_table_names_what_ours_have():
    for peer, modules in _patch.TABLE.items():
        ours = getattr(cmf.compat, peer)
        for _, names in modules:
            assert [name for name in names if not callable(getattr(ours, name, None))] == []


def test_no_peer_is_imported():
    names = ", ".join((*PEERS, "patch"))
    done = subprocess.run([sys.executable, "-c", LIGHT.format(names=names)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unknown_names():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        cmf.compat.nonsense  # noqa: B018
