"""scikit-learn estimators whose searches and maps are those of this package.

`NearestNeighbors`, `KNeighborsClassifier`, `KNeighborsRegressor`, `KNeighborsTransformer` and
`RadiusNeighborsTransformer` are scikit-learn's own classes, with their parameters, methods and conventions, and find
their neighbours here: by brute force, exactly, equal distances by the lowest index. `TransferRegressor` is
`fit_transfer`, `CCA` is `fitting.CCA` with the interface of `sklearn.cross_decomposition.CCA`, `CrossModalMatcher` maps
one modality to another and matches there. All can be cloned, pickled, put into a `Pipeline` and searched by
`GridSearchCV`, in processes too: `control` (a dict of `Control`) goes with them, unlike `config_context`.

    pip install 'crossmodal-fast[sklearn]'
"""

try:
    import sklearn as _sklearn  # noqa: F401 - whether it is there
except ModuleNotFoundError as error:
    if error.name != "sklearn":
        raise  # it is there, and something that it needs is not
    raise ModuleNotFoundError(
        "crossmodal_fast.estimators needs scikit-learn, which is not installed: pip install 'crossmodal-fast[sklearn]'",
        name="sklearn",
    ) from error

from ._canonical import CCA
from ._classes import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    KNeighborsTransformer,
    NearestNeighbors,
    RadiusNeighborsTransformer,
)
from ._matcher import CrossModalMatcher
from ._transfer import TransferRegressor

__all__ = [
    "CCA",
    "CrossModalMatcher",
    "KNeighborsClassifier",
    "KNeighborsRegressor",
    "KNeighborsTransformer",
    "NearestNeighbors",
    "RadiusNeighborsTransformer",
    "TransferRegressor",
]
