"""Test suites of peers, as their wheels ship them, and what in each is not asked of ours.

An exclusion is a regular expression for the beginning of a test's name, parameters included, and the reason; at most
`MOST` a suite.
"""

from dataclasses import dataclass, field

MOST = 5


@dataclass(frozen=True)
class Suite:
    """`module` is run with `patch` of the peers around it; `chosen`: as pytest's -k."""

    module: str
    peers: tuple[str, ...]
    chosen: str = ""
    excluded: dict[str, str] = field(default_factory=dict)


SUITES = {
    "scipy-distance": Suite("scipy.spatial.tests.test_distance", ("scipy",)),
    "sklearn-reductions": Suite("sklearn.metrics.tests.test_pairwise_distances_reduction", ("sklearn", "scipy")),
    "sklearn-pairwise": Suite(
        "sklearn.metrics.tests.test_pairwise",
        ("sklearn",),
        excluded={
            "test_euclidean_distances_with_norms": "wants wrong distances from wrong norms; ours need none",
        },
    ),
    "sklearn-neighbors": Suite(
        "sklearn.neighbors.tests.test_neighbors",
        ("sklearn",),
        chosen="brute",
        excluded={
            r"test_neighbors_minkowski_semimetric_algo_warn\[brute-\d+-KNeighbors": (
                "wants the private attribute _fit_method to say brute; here it says who searches"
            ),
            r"test_auto_algorithm\[X[125]": "wants the same of that attribute",
            r"test_k_and_radius_neighbors_duplicates\[brute": (
                "of equal neighbours of a fitted row ours are the first others; scikit-learn leaves out the first of "
                "all where the row itself is not among its k + 1"
            ),
        },
    ),
}
