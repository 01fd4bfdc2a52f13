"""The neighbours estimators: scikit-learn's classes, searching here."""

from collections.abc import Callable
from typing import Any, ClassVar

from sklearn import neighbors

from ._searching import Searching

Metric = str | Callable[..., float]
Weights = str | Callable[..., Any] | None


class NearestNeighbors(Searching, neighbors.NearestNeighbors):
    """`sklearn.neighbors.NearestNeighbors`: the exact nearest rows of each query, by brute force.

    Parameters
    ----------
    n_neighbors, radius : what `kneighbors` and `radius_neighbors` take where they are given none
    metric, p, metric_params : scikit-learn's. Computed here: euclidean (l2), sqeuclidean, cityblock (l1, manhattan),
        minkowski without weights, chebyshev, canberra, cosine, correlation, hamming. With any other, functions and
        "precomputed" among them, scikit-learn's brute force searches.
    algorithm, leaf_size, n_jobs : as there, and without effect
    control : dict of `Control`, such as {"backend": "numpy", "n_threads": 1}; what is left out comes from `config`

    Notes
    -----
    Cost and memory of `Gallery.topk` and `Gallery.within`: rows are encoded by the first search. Sparse rows stay as
    they are and are made dense in blocks by each search. Rows of zeros are at distance 1 from all by cosine, constant
    ones by correlation. X is not copied: fit anew after a change of its numbers. Of a tree in its place the rows are
    taken, not the metric, by which scikit-learn would search.

    Examples
    --------
    >>> found = NearestNeighbors(n_neighbors=2).fit([[0.0], [3.0], [1.0]])
    >>> found.kneighbors([[0.2]])
    (array([[0.2, 0.8]]), array([[0, 2]]))
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **neighbors.NearestNeighbors._parameter_constraints, "control": [dict, None],
    }  # fmt: skip

    def __init__(
        self,
        *,
        n_neighbors: int = 5,
        radius: float = 1.0,
        algorithm: str = "auto",
        leaf_size: int = 30,
        metric: Metric = "minkowski",
        p: float = 2,
        metric_params: dict[str, Any] | None = None,
        n_jobs: int | None = None,
        control: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            n_neighbors=n_neighbors, radius=radius, algorithm=algorithm, leaf_size=leaf_size, metric=metric, p=p,
            metric_params=metric_params, n_jobs=n_jobs,
        )  # fmt: skip
        self.control = control


class KNeighborsClassifier(Searching, neighbors.KNeighborsClassifier):
    """`sklearn.neighbors.KNeighborsClassifier`: the vote of the exact nearest rows.

    Parameters
    ----------
    weights : "uniform", "distance", or a function of distances (m, k)
    other parameters : as in `NearestNeighbors`

    `predict`, `predict_proba`, `score` and several outputs as there; of labels with equal votes the lowest. X=None is
    leave-one-out.

    Examples
    --------
    >>> KNeighborsClassifier(n_neighbors=1).fit([[0.0], [1.0]], ["no", "yes"]).predict([[0.9]])
    array(['yes'], dtype='<U3')
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **neighbors.KNeighborsClassifier._parameter_constraints, "control": [dict, None],
    }  # fmt: skip

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        weights: Weights = "uniform",
        algorithm: str = "auto",
        leaf_size: int = 30,
        p: float = 2,
        metric: Metric = "minkowski",
        metric_params: dict[str, Any] | None = None,
        n_jobs: int | None = None,
        control: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            n_neighbors, weights=weights, algorithm=algorithm, leaf_size=leaf_size, p=p, metric=metric,
            metric_params=metric_params, n_jobs=n_jobs,
        )  # fmt: skip
        self.control = control


class KNeighborsRegressor(Searching, neighbors.KNeighborsRegressor):
    """`sklearn.neighbors.KNeighborsRegressor`: the mean of the targets of the exact nearest rows.

    Parameters
    ----------
    weights : "uniform", "distance", or a function of distances (m, k)
    other parameters : as in `NearestNeighbors`

    Examples
    --------
    >>> KNeighborsRegressor(n_neighbors=2).fit([[0.0], [1.0], [5.0]], [2.0, 4.0, 9.0]).predict([[0.4]])
    array([3.])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **neighbors.KNeighborsRegressor._parameter_constraints, "control": [dict, None],
    }  # fmt: skip

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        weights: Weights = "uniform",
        algorithm: str = "auto",
        leaf_size: int = 30,
        p: float = 2,
        metric: Metric = "minkowski",
        metric_params: dict[str, Any] | None = None,
        n_jobs: int | None = None,
        control: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            n_neighbors, weights=weights, algorithm=algorithm, leaf_size=leaf_size, p=p, metric=metric,
            metric_params=metric_params, n_jobs=n_jobs,
        )  # fmt: skip
        self.control = control


class KNeighborsTransformer(Searching, neighbors.KNeighborsTransformer):
    """`sklearn.neighbors.KNeighborsTransformer`: the sparse graph (m, n) of the exact nearest rows.

    Parameters
    ----------
    mode : "distance", with a neighbour more, since the first may be the row itself; or "connectivity"
    other parameters : as in `NearestNeighbors`

    Examples
    --------
    >>> KNeighborsTransformer(n_neighbors=1).fit_transform([[0.0], [1.0], [5.0]]).toarray()
    array([[0., 1., 0.],
           [1., 0., 0.],
           [0., 4., 0.]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **neighbors.KNeighborsTransformer._parameter_constraints, "control": [dict, None],
    }  # fmt: skip

    def __init__(
        self,
        *,
        mode: str = "distance",
        n_neighbors: int = 5,
        algorithm: str = "auto",
        leaf_size: int = 30,
        metric: Metric = "minkowski",
        p: float = 2,
        metric_params: dict[str, Any] | None = None,
        n_jobs: int | None = None,
        control: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            mode=mode, n_neighbors=n_neighbors, algorithm=algorithm, leaf_size=leaf_size, metric=metric, p=p,
            metric_params=metric_params, n_jobs=n_jobs,
        )  # fmt: skip
        self.control = control


class RadiusNeighborsTransformer(Searching, neighbors.RadiusNeighborsTransformer):
    """`sklearn.neighbors.RadiusNeighborsTransformer`: the sparse graph (m, n) of all rows within a radius, inclusive.

    Parameters
    ----------
    mode : "distance" or "connectivity"
    other parameters : as in `NearestNeighbors`

    Examples
    --------
    >>> RadiusNeighborsTransformer(radius=1.0).fit_transform([[0.0], [1.0], [5.0]]).toarray()
    array([[0., 1., 0.],
           [1., 0., 0.],
           [0., 0., 0.]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **neighbors.RadiusNeighborsTransformer._parameter_constraints, "control": [dict, None],
    }  # fmt: skip

    def __init__(
        self,
        *,
        mode: str = "distance",
        radius: float = 1.0,
        algorithm: str = "auto",
        leaf_size: int = 30,
        metric: Metric = "minkowski",
        p: float = 2,
        metric_params: dict[str, Any] | None = None,
        n_jobs: int | None = None,
        control: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            mode=mode, radius=radius, algorithm=algorithm, leaf_size=leaf_size, metric=metric, p=p,
            metric_params=metric_params, n_jobs=n_jobs,
        )  # fmt: skip
        self.control = control
