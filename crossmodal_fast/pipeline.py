"""The four steps of cross-modal learning as one object, over named modalities."""

import inspect
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations, product
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import evaluate as measures
from . import fusion as fusions
from ._match import Indices, Matches, match
from ._operations import SIMILARITIES, pairwise_distances, similarity
from ._transfer_map import TransferMap, fit_transfer, load_arrays, save_arrays
from .preprocess import STEPS, Chain, rows_of

__all__ = ["Alignment", "CrossModalPipeline", "RunResult", "Similarity", "Transfer"]

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Names = str | Sequence[str]  # one modality, or several that describe the same items row by row
Direction = tuple[Names, Names]

DEFAULT_K = {"topk": 10, "mutual": 1}  # where neither the pipeline nor the call says
LATE: dict[str, Callable[..., Any]] = {
    "weighted_sum": fusions.weighted_sum,
    "reciprocal_rank": fusions.reciprocal_rank_fusion,
}
FUSIONS = ("concatenate", *LATE)


@dataclass(frozen=True, eq=False)
class Similarity:
    """scores (m, n) of all rows of `source` with all rows of `target`, higher is better."""

    source: Names
    target: Names
    metric: str
    scores: Array


@dataclass(frozen=True, eq=False)
class Alignment:
    """Which rows of `source` go with which rows of `target`."""

    source: Names
    target: Names
    method: str
    metric: str
    matches: Matches

    @property
    def pairs(self) -> Indices:
        """(p, 2) int64: fit for `knowledge_transfer(.., pairs=)`."""
        return self.matches.pairs

    def take(self, source_rows: Array, target_rows: Array) -> tuple[Array, Array]:
        """The two arrays with row p of one beside row p of the other."""
        return source_rows[self.matches.rows], target_rows[self.matches.columns]


@dataclass(frozen=True, eq=False)
class Transfer:
    """The map from `source` to `target`, and embeddings (n, d_out): the loaded rows of `source` mapped by it."""

    source: str
    target: str
    map: TransferMap
    embeddings: Array


@dataclass(frozen=True, eq=False)
class RunResult:
    """What `run` found, by direction (source, target). `measures` is empty for directions without known truth."""

    alignments: dict[Direction, Alignment]
    measures: dict[Direction, dict[str, float]]


class CrossModalPipeline:
    """Load, preprocess, compare, match and transfer between named modalities.

    Step by step: `load_data`, `preprocess_data`, `knowledge_transfer`, `calculate_similarity`, `match_and_align`,
    `evaluate`. In one go: `fit` on training rows, then `run` (or `transform`) on others.

    To compare two modalities, their rows are brought into one space: through the map from source to target where one is
    fitted, else the map from target to source, else both into the shared space, else as they are, if they have equally
    many columns.

    Parameters
    ----------
    preprocess : str, step or list of them, or dict modality -> such, default "normalize"
        As in `preprocess.Chain`; a modality that a dict leaves out is taken as it is.
    transfer : str, dict or None, default "ridge"
        Method of `fit_transfer`, or its keywords, such as {"method": "ridge", "regularization": 10.0}. None: the
        modalities share a space already (CLIP), and `fit` learns no map: one from few pairs would lose accuracy there.
    shared : str, optional
        The modality into whose space `fit` maps all others; the first one loaded where left out.
    metric : str, default "cosine"
        As in `topk`.
    method : {"topk", "mutual"}, default "topk"
        As in `match`.
    k : int, optional
        Matches per row; 10, or 1 for mutual, and never more than there are rows, where left out.
    fusion : str or dict, default "concatenate"
        How several modalities on one side act together. "concatenate": their unit rows side by side, whose cosine is
        the weighted mean of theirs; no score matrix. "weighted_sum" and "reciprocal_rank", the functions of `fusion`:
        they make the (m, n) scores. Their keywords go into a dict: {"method": "weighted_sum", "normalizer": "zmuv"}.
    weights : dict modality -> float, optional
        For the fusion; 1 where left out.
    control : dict, optional
        `**control` of the operations: backend, max_bytes, n_threads, ..

    Attributes
    ----------
    data_, embeddings_ : dict modality -> array
        What `load_data` took and what `preprocess_data` made of it.
    steps_ : dict modality -> Chain
    maps_ : dict (source, target) -> TransferMap
    similarities_ : dict (source, target) -> Similarity

    Examples
    --------
    >>> import numpy as np
    >>> from crossmodal_fast import CrossModalPipeline
    >>> image = np.random.default_rng(0).standard_normal((60, 5))
    >>> audio = image @ np.arange(15.0).reshape(5, 3)
    >>> pipeline = CrossModalPipeline("center", {"method": "lstsq"})
    >>> _ = pipeline.fit({"audio": audio[:40], "image": image[:40]})
    >>> pipeline.run({"audio": audio[40:], "image": image[40:]}).measures["image", "audio"]["hit_rate@1"]
    1.0
    """

    def __init__(
        self,
        preprocess: Any = "normalize",
        transfer: str | Mapping[str, Any] | None = "ridge",
        *,
        shared: str | None = None,
        metric: str = "cosine",
        method: str = "topk",
        k: int | None = None,
        fusion: str | Mapping[str, Any] = "concatenate",
        weights: Mapping[str, float] | None = None,
        control: Mapping[str, Any] | None = None,
    ) -> None:
        self.preprocess = preprocess
        self.transfer = transfer
        self.shared = shared
        self.metric = metric
        self.method = method
        self.k = k
        self.fusion = fusion
        self.weights = weights
        self.control = control
        self.data_: dict[str, Array] = {}
        self.embeddings_: dict[str, Array] = {}
        self.pairs_: dict[tuple[str, str], Indices] = {}
        self.labels_: dict[str, Array] = {}
        self.steps_: dict[str, Chain] = {}
        self.maps_: dict[tuple[str, str], TransferMap] = {}
        self.shared_: str | None = None
        self.similarities_: dict[Direction, Similarity] = {}

    # ------------------------------------------------------------------------------------------------ step by step

    def load_data(
        self,
        data: Mapping[str, Any],
        *,
        pairs: Any = None,
        labels: Any = None,
    ) -> dict[str, Array]:
        """Take the rows of each modality. What was fitted before stays and can be applied to them.

        Parameters
        ----------
        data : dict modality -> array_like (n, d), or path of a file that `files.read_embeddings` reads
        pairs : array_like (p, 2), or dict (modality, modality) -> array_like (p, 2), optional
            Rows that belong together; one array will do for two modalities, in the order of `data`. Left out: row i
            with row i or, if labels are given and differ row by row, each row with all rows of its label.
        labels : array_like (n,), or dict modality -> array_like (n,), optional
            A class for each row; one array will do where row i of all modalities is one item.

        Returns
        -------
        dict modality -> array
            Memory maps stay memory maps.
        """
        if not isinstance(data, Mapping) or not data:
            raise TypeError(f"data must be a dict of at least one modality, got {type(data).__name__}")
        loaded = {name: _rows(name, value) for name, value in data.items()}
        found_labels = _labels(labels, loaded)
        found_pairs = _pairs(pairs, loaded)
        self.data_, self.labels_, self.pairs_ = loaded, found_labels, found_pairs
        self.embeddings_, self.similarities_ = {}, {}
        return loaded

    def preprocess_data(self, *, fit: bool = True) -> dict[str, Array]:
        """Run the steps of each modality on the loaded rows: fitted on these rows or, with fit=False, as they are.

        Fitting again forgets the maps, which belong to the old space.
        """
        self._after(self.data_, "load_data", "preprocess_data")
        if fit:
            self.steps_, self.maps_ = {name: self._chain(name) for name in self.data_}, {}
            self.shared_ = self._known("shared", self.shared or next(iter(self.data_)), self.data_)
            self.embeddings_ = {name: self.steps_[name].fit_transform(rows) for name, rows in self.data_.items()}
        else:
            self.embeddings_ = self._preprocessed(self.data_)
        self.similarities_ = {}
        return self.embeddings_

    def knowledge_transfer(
        self,
        source: str,
        target: str | None = None,
        *,
        pairs: ArrayLike | None = None,
        fit: bool = True,
        **options: Any,
    ) -> Transfer:
        """Learn the map from one modality to another on paired rows, and map the loaded rows of the source by it.

        Parameters
        ----------
        source, target : str
            Modalities; target left out: the shared one.
        pairs : array_like, shape (p, 2), optional
            Instead of the loaded ones, such as `Alignment.pairs`.
        fit : bool, default True
            False: only apply the map that was fitted before.
        **options
            Keywords of `fit_transfer` that go before those of the pipeline's `transfer`.

        Returns
        -------
        Transfer
            map (source -> target) and embeddings (n, d_target).
        """
        embeddings = self._after(self.embeddings_, "preprocess_data", "knowledge_transfer")
        target = self.shared_ if target is None else target
        source = self._known("source", source, embeddings)
        if fit:
            target = self._known("target", target, embeddings)
            left, right, weight = self._training_rows(source, target, pairs)
            chosen = {"method": self.transfer} if isinstance(self.transfer, str) else dict(self.transfer or {})
            self.maps_[source, target] = fit_transfer(left, right, **{"sample_weight": weight, **chosen, **options})
            self.similarities_ = {}
        elif (source, target) not in self.maps_:
            raise RuntimeError(
                f"knowledge_transfer({source!r}, {target!r}) must be fitted before it is applied: leave out fit=False"
            )
        assert target is not None
        found = self.maps_[source, target]
        return Transfer(source, target, found, found.apply(embeddings[source], **self._control()))

    def calculate_similarity(self, source: Names, target: Names, *, metric: str | None = None) -> Similarity:
        """All scores of the rows of source (m) with those of target (n): an (m, n) matrix, higher is better.

        The similarity for cosine, correlation and dot, minus the distance for other metrics; fused where a side names
        several modalities. It is kept for `match_and_align(.., metric="precomputed")`.
        """
        metric = self.metric if metric is None else metric
        source, target = self._side("source", source), self._side("target", target)
        found = Similarity(source, target, metric, self._scores(source, target, metric, "calculate_similarity"))
        self.similarities_[source, target] = found
        return found

    def match_and_align(
        self,
        source: Any,
        target: Names | None = None,
        *,
        method: str | None = None,
        k: int | None = None,
        metric: str | None = None,
        **keywords: Any,
    ) -> Alignment:
        """Find the rows of target that belong to each row of source.

        Parameters
        ----------
        source : str, sequence of str, or array_like (m, n) with metric="precomputed"
            Modalities, or ready scores, higher is better.
        target : str or sequence of str
            None with ready scores.
        method, k, metric : optional
            Instead of the pipeline's. metric="precomputed" with names: the scores that `calculate_similarity` left.
        **keywords
            Of `match`: mask, exclude, bias, ..

        Returns
        -------
        Alignment
            Exact; no score matrix is made unless the fusion needs one.
        """
        metric = self.metric if metric is None else metric
        method = self.method if method is None else method
        names: Direction = ("rows", "columns")
        sides: tuple[Any, Any] = (source, None)
        if target is not None:
            names = self._side("source", source), self._side("target", target)
        elif metric != "precomputed":
            raise ValueError(f"target must be given with metric={metric!r}, got None")
        if metric != "precomputed":
            sides, metric, keywords = self._sides(*names, metric, "match_and_align", keywords)
        elif target is not None:
            if names not in self.similarities_:
                raise RuntimeError(
                    f"calculate_similarity{names!r} must be called before match_and_align(.., metric='precomputed')"
                )
            sides = (self.similarities_[names].scores, None)
        if (chosen := self.k if k is None else k) is None:
            n = np.shape(sides[0])[1] if sides[1] is None else len(sides[1])
            chosen = min(DEFAULT_K.get(method, 1), n)
        return Alignment(*names, method, metric, match(*sides, method, k=chosen, metric=metric, **keywords))

    def evaluate(self, source: Names, target: Names, **options: Any) -> dict[str, float]:
        """Search every row of source in target and measure where the right ones come.

        Right is: the same label, where both modalities have labels; else the loaded pairs; else row i for row i.
        `options` are those of `evaluate.retrieval`: k, ties, empty, exclude_self, or other positives or labels.
        """
        source, target = self._side("source", source), self._side("target", target)
        metric = options.pop("metric", self.metric)
        sides, metric, options = self._sides(source, target, metric, "evaluate", options)
        if not {"positives", "labels"} & set(options):
            truth = self._truth(source, target)
            if truth is None:
                raise ValueError(
                    f"pairs or labels must be loaded to evaluate {source!r} against {target!r}, "
                    "whose rows are not equally many, got neither"
                )
            options |= truth
        return measures.retrieval(*sides, metric=metric, **options)

    # ------------------------------------------------------------------------------------------------ in one go

    def fit(self, data: Mapping[str, Any], *, pairs: Any = None, labels: Any = None) -> Self:
        """Load training rows, fit the steps and, unless transfer=None, the map of each modality to the shared one."""
        self.load_data(data, pairs=pairs, labels=labels)
        self.preprocess_data()
        if self.transfer is not None:
            for name in self.data_:
                if name != self.shared_:
                    self.knowledge_transfer(name)
        return self

    def transform(self, data: Mapping[str, Any]) -> dict[str, Array]:
        """Rows of each modality in the shared space; what is loaded stays as it is.

        A modality without a map to the shared one is only preprocessed.
        """
        if not isinstance(data, Mapping):
            raise TypeError(f"data must be a dict of modalities, got {type(data).__name__}")
        return {
            name: self._mapped(rows, name, self.shared_)
            for name, rows in self._preprocessed({name: _rows(name, value) for name, value in data.items()}).items()
        }

    def run(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        pairs: Any = None,
        labels: Any = None,
        directions: Iterable[Direction] | None = None,
        **options: Any,
    ) -> RunResult:
        """Match in every direction and measure where the truth is known.

        Parameters
        ----------
        data, pairs, labels : optional
            New rows, as in `load_data`: preprocessed and mapped as fitted, or fitted on first if nothing is fitted yet.
            Left out: the rows that are loaded.
        directions : iterable of (source, target), optional
            Every ordered pair of modalities where left out. A side may name several: (("image", "text"), "audio").
        **options
            Of `evaluate.retrieval`: k, ties, empty.
        """
        if data is None:
            self._after(self.data_, "load_data", "run")
        else:
            self.load_data(data, pairs=pairs, labels=labels)
        if not self.steps_:
            self.fit(self.data_, pairs=self.pairs_, labels=self.labels_)
        elif not self.embeddings_:
            self.preprocess_data(fit=False)
        chosen = permutations(self.data_, 2) if directions is None else directions
        alignments, measured = {}, {}
        for source, target in chosen:
            direction = self._side("source", source), self._side("target", target)
            alignments[direction] = self.match_and_align(*direction)
            if self._truth(*direction) is not None:
                measured[direction] = self.evaluate(*direction, **options)
        return RunResult(alignments, measured)

    # ------------------------------------------------------------------------------------------------ parameters, files

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments that this pipeline was made with; `deep` is there for scikit-learn."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Change some of them; what is fitted stays until it is fitted again."""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"parameter must be one of {', '.join(known)}, got {name!r}")
            setattr(self, name, value)
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write parameters, fitted steps and maps, not the data: an .npz of plain arrays, whole or not at all."""
        params = {**self.get_params(), "preprocess": _described(self.preprocess)}
        about = {
            "params": params,
            "shared": self.shared_,
            "steps": {name: _described(chain.steps) for name, chain in self.steps_.items()},
            "maps": list(self.maps_),
        }
        arrays = {"pipeline": np.array(json.dumps(about, default=_plain))}
        for i, chain in enumerate(self.steps_.values()):
            for j, step in enumerate(chain.steps):
                arrays |= {f"step.{i}.{j}.{name}": value for name, value in step.get_state().items()}
        for i, found in enumerate(self.maps_.values()):
            arrays |= {f"map.{i}.{name}": value for name, value in found.to_arrays().items()}
        save_arrays(path, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a pipeline that `save` wrote. Nothing is unpickled."""
        arrays = load_arrays(path, "CrossModalPipeline", ("pipeline",))
        about = json.loads(str(arrays["pipeline"]))
        pipeline = cls(**{**about["params"], "preprocess": _made(about["params"]["preprocess"])})
        pipeline.shared_ = about["shared"]
        for i, (name, steps) in enumerate(about["steps"].items()):
            pipeline.steps_[name] = Chain(_made(steps))
            for j, step in enumerate(pipeline.steps_[name].steps):
                step.set_state(_under(arrays, f"step.{i}.{j}."))
        for i, (source, target) in enumerate(about["maps"]):
            pipeline.maps_[source, target] = TransferMap.from_arrays(_under(arrays, f"map.{i}."))
        return pipeline

    def __repr__(self) -> str:
        return f"CrossModalPipeline({', '.join(f'{name}={value!r}' for name, value in self.get_params().items())})"

    # ------------------------------------------------------------------------------------------------ spaces

    def _after(self, state: dict[str, Array], needed: str, called: str) -> dict[str, Array]:
        if not state:
            raise RuntimeError(f"{needed} must be called before {called}")
        return state

    def _known(self, role: str, name: Any, known: Iterable[str]) -> str:
        if not isinstance(name, str) or name not in known:
            raise ValueError(f"{role} must be one of the modalities {', '.join(known)}, got {name!r}")
        return name

    def _side(self, role: str, names: Any) -> Names:
        """One modality as a str, several as a tuple."""
        if isinstance(names, str):
            return self._known(role, names, self.data_)
        if not isinstance(names, Sequence) or not names:
            raise TypeError(f"{role} must be a modality or a sequence of them, got {type(names).__name__}")
        several = tuple(self._known(role, name, self.data_) for name in names)
        lengths = [len(self.data_[name]) for name in several]
        if len(set(lengths)) != 1:
            raise ValueError(
                f"{role} must name modalities with equally many rows, got {lengths} in {', '.join(several)}"
            )
        return several if len(several) > 1 else several[0]

    def _late(self, source: Names, target: Names) -> Callable[..., Any] | None:
        """What fuses the scores of these modalities; None where nothing is to be fused, or the embeddings are."""
        options = {"method": self.fusion} if isinstance(self.fusion, str) else dict(self.fusion)
        fusion = options.pop("method", None)
        if fusion not in FUSIONS:
            raise ValueError(f"fusion must be one of {', '.join(FUSIONS)}, got {fusion!r}")
        if (isinstance(source, str) and isinstance(target, str)) or fusion not in LATE:
            return None
        return partial(LATE[fusion], **options)

    def _sides(
        self, source: Names, target: Names, metric: str, called: str, keywords: Mapping[str, Any]
    ) -> tuple[tuple[Array, Array | None], str, dict[str, Any]]:
        """What to search, by which metric, with which keywords: embeddings, or fused scores."""
        if self._late(source, target) is not None:
            return (self._scores(source, target, metric, called), None), "precomputed", dict(keywords)
        return self._embedded(source, target, called), metric, {**self._control(), **keywords}

    def _control(self) -> dict[str, Any]:
        return dict(self.control or {})

    def _chain(self, name: str) -> Chain:
        steps = self.preprocess.get(name, ()) if isinstance(self.preprocess, Mapping) else self.preprocess
        return Chain(steps)

    def _preprocessed(self, data: Mapping[str, Array]) -> dict[str, Array]:
        if not self.steps_:
            raise RuntimeError("fit or preprocess_data() must be called before fitted steps are applied")
        return {
            name: self.steps_[self._known("data", name, self.steps_)].transform(rows) for name, rows in data.items()
        }

    def _mapped(self, rows: Array, source: str, target: str | None) -> Array:
        found = self.maps_.get((source, str(target)))
        return rows if found is None else found.apply(rows, **self._control())

    def _one_space(self, source: str, target: str, called: str) -> tuple[Array, Array]:
        """Rows of two modalities where they can be compared."""
        embeddings = self._after(self.embeddings_, "preprocess_data", called)
        left, right, shared = embeddings[source], embeddings[target], str(self.shared_)
        if (source, target) in self.maps_:
            return self._mapped(left, source, target), right
        if (target, source) in self.maps_:
            return left, self._mapped(right, target, source)
        if (source, shared) in self.maps_ and (target, shared) in self.maps_:
            return self._mapped(left, source, shared), self._mapped(right, target, shared)
        if left.shape[1] != right.shape[1]:
            raise RuntimeError(
                f"knowledge_transfer({source!r}, {target!r}) must be called before {called}: "
                f"they have {left.shape[1]} and {right.shape[1]} columns"
            )
        return left, right

    def _combinations(self, source: Names, target: Names) -> list[tuple[str, str, float]]:
        given = self.weights or {}
        sides = [(side,) if isinstance(side, str) else side for side in (source, target)]
        return [(s, t, given.get(s, 1.0) * given.get(t, 1.0)) for s, t in product(*sides)]

    def _embedded(self, source: Names, target: Names, called: str) -> tuple[Array, Array]:
        if isinstance(source, str) and isinstance(target, str):
            return self._one_space(source, target, called)
        combinations = self._combinations(source, target)
        left, right = zip(*(self._one_space(s, t, called) for s, t, _ in combinations), strict=True)
        weights = [weight for *_, weight in combinations]
        return fusions.concatenate(left, weights), fusions.concatenate(right, weights)

    def _scores(self, source: Names, target: Names, metric: str, called: str) -> Array:
        fuse = self._late(source, target)
        if fuse is None:
            return self._compared(*self._embedded(source, target, called), metric)
        combinations = self._combinations(source, target)
        scores = [self._compared(*self._one_space(s, t, called), metric) for s, t, _ in combinations]
        return np.asarray(fuse(scores, [weight for *_, weight in combinations]))

    def _compared(self, left: Array, right: Array, metric: str) -> Array:
        if metric in SIMILARITIES:
            return similarity(left, right, metric, **self._control())
        distances = pairwise_distances(left, right, metric, **self._control())
        return np.negative(distances, out=distances)

    # ------------------------------------------------------------------------------------------------ truth

    def _given_pairs(self, source: str, target: str) -> Indices | None:
        if (source, target) in self.pairs_:
            return self.pairs_[source, target]
        return self.pairs_[target, source][:, ::-1] if (target, source) in self.pairs_ else None

    def _training_rows(self, source: str, target: str, pairs: ArrayLike | None) -> tuple[Array, Array, Float64 | None]:
        """Rows of source, the row of target that each is to be mapped to, and their weights."""
        left, right = self.embeddings_[source], self.embeddings_[target]
        if pairs is not None:
            given: Indices | None = _pair_array(pairs, (source, target), self.embeddings_)
        else:
            given = self._given_pairs(source, target)
        if given is not None:
            return left[given[:, 0]], right[given[:, 1]], None
        labels = self.labels_.get(source), self.labels_.get(target)
        if labels[0] is not None and labels[1] is not None and not np.array_equal(labels[0], labels[1]):
            return _paired_by_label(left, labels[0], right, labels[1])
        if len(left) != len(right):
            raise ValueError(
                f"pairs or labels must be loaded for {len(left)} rows of {source!r} and {len(right)} of {target!r}, "
                "got neither"
            )
        return left, right, None

    def _truth(self, source: Names, target: Names) -> dict[str, Any] | None:
        """What is right, for `evaluate.retrieval`; None where nothing says. Several modalities speak by the first."""
        source, target = (side if isinstance(side, str) else side[0] for side in (source, target))
        if source in self.labels_ and target in self.labels_:
            return {"labels": (self.labels_[source], self.labels_[target])}
        given = self._given_pairs(source, target)
        if given is not None:
            given = np.unique(given, axis=0)
            counts = np.bincount(given[:, 0], minlength=len(self.data_[source]))
            return {"positives": (np.concatenate([[0], counts.cumsum()]), given[:, 1])}
        return {} if len(self.data_[source]) == len(self.data_[target]) else None


# ---------------------------------------------------------------------------------------------------- what is loaded


def _rows(name: str, value: Any) -> Array:
    if isinstance(value, str | os.PathLike):
        from .files import read_embeddings

        value = read_embeddings(value)
    return rows_of(f"data[{name!r}]", value)


def _labels(labels: Any, data: Mapping[str, Array]) -> dict[str, Array]:
    if labels is None:
        return {}
    if not isinstance(labels, Mapping):
        labels = dict.fromkeys(data, labels)
    found = {name: np.asarray(value) for name, value in labels.items()}
    for name, value in found.items():
        if name not in data:
            raise ValueError(f"labels must be for the modalities {', '.join(data)}, got {name!r}")
        if value.shape != (len(data[name]),):
            raise ValueError(f"labels[{name!r}] must have shape ({len(data[name])},), got {value.shape}")
    return found


def _pairs(pairs: Any, data: Mapping[str, Array]) -> dict[tuple[str, str], Indices]:
    if pairs is None:
        return {}
    if not isinstance(pairs, Mapping):
        if len(data) != 2:
            raise ValueError(
                f"pairs must be a dict (modality, modality) -> (p, 2) for {len(data)} modalities, got one array"
            )
        pairs = {tuple(data): pairs}
    found = {}
    for names, value in pairs.items():
        if not (isinstance(names, tuple) and len(names) == 2 and set(names) <= set(data)):
            raise ValueError(f"pairs must be for two of the modalities {', '.join(data)}, got {names!r}")
        found[names] = _pair_array(value, names, data)
    return found


def _pair_array(pairs: ArrayLike, names: tuple[str, str], data: Mapping[str, Array]) -> Indices:
    found = np.asarray(pairs)
    if found.ndim != 2 or found.shape[1] != 2 or not len(found):
        raise ValueError(
            f"pairs of {names[0]!r} and {names[1]!r} must have shape (p, 2) with p >= 1, got {found.shape}"
        )
    if found.dtype.kind not in "iu":
        raise TypeError(f"pairs of {names[0]!r} and {names[1]!r} must be row numbers, got dtype {found.dtype}")
    for side, name in enumerate(names):
        worst = found[:, side].min() if found[:, side].min() < 0 else found[:, side].max()
        if not 0 <= worst < len(data[name]):
            raise ValueError(f"pairs must name rows of {name!r} in 0..{len(data[name]) - 1}, got {worst}")
    return found.astype(np.int64)


def _paired_by_label(
    left: Array, left_labels: Array, right: Array, right_labels: Array
) -> tuple[Array, Array, Float64]:
    """Each row of left with each row of right that has its label.

    The mean of a row's partners, weighted by their number, gives the same map as the pairs themselves, which may be
    millions. Weights have mean 1, so that a ridge penalty means what it means with one partner each.
    """
    labels, owner, counts = np.unique(right_labels, return_inverse=True, return_counts=True)
    place = np.searchsorted(labels, left_labels).clip(max=len(labels) - 1)
    known = labels[place] == left_labels
    if not known.any():
        raise ValueError("labels must have at least one value on both sides, got none in common")
    order = np.argsort(owner, kind="stable")
    sums = np.add.reduceat(right[order].astype(np.float64), np.cumsum(counts) - counts, axis=0)
    taken = place[known]
    return left[known], (sums / counts[:, None])[taken], counts[taken] / counts[taken].mean()


# ---------------------------------------------------------------------------------------------------- as plain text


def _described(preprocess: Any) -> Any:
    """Steps as JSON: a list of {step, params}, or a dict of such lists."""
    if isinstance(preprocess, Mapping):
        return {name: _described(steps) for name, steps in preprocess.items()}
    kinds = {kind: name for name, kind in STEPS.items()}
    steps = Chain(preprocess).steps
    for step in steps:
        if type(step) not in kinds:
            raise TypeError(f"preprocess must consist of {', '.join(STEPS)} to be saved, got {type(step).__name__}")
    return [{"step": kinds[type(step)], "params": step.get_params()} for step in steps]


def _made(described: Any) -> Any:
    if isinstance(described, Mapping):
        return {name: _made(steps) for name, steps in described.items()}
    return [STEPS[entry["step"]](**entry["params"]) for entry in described]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"parameters must be plain numbers, names, lists and dicts to be saved, got {type(value).__name__}")


def _under(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
