"""The pipeline itself: the public methods, in the order in which they are called, and what they share."""

import inspect
import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from itertools import permutations
from typing import Any, Self, cast

from numpy.typing import ArrayLike, NDArray

from .. import evaluate as measures
from .._arguments import about, brief, one_of, rows_of
from .._config import Control, resolve
from .._saved import read_saved, write_saved
from .._search import running
from ..fitting import TransferMap, fit_transfer
from ..matching import METHODS, Indices, match
from ..preprocess import Chain
from ._loading import labels_by_name, pairs_by_names, pairs_of, rows_by_name
from ._pairing import right_answers, training_rows
from ._parameters import (
    control_keywords,
    fit_keywords,
    late_fusion,
    new_steps,
    one_modality,
    one_side,
    weights_by_name,
)
from ._results import Alignment, Direction, Names, RunResult, Similarity, Transfer
from ._spaces import Spaces
from ._storage import Stored, from_arrays, to_arrays

Array = NDArray[Any]

DEFAULT_K = {"topk": 10}  # where neither the pipeline nor the call says; methods have their own


class CrossModalPipeline:
    """Load, preprocess, compare, match and transfer between named modalities.

    Step by step: `load_data`, `preprocess_data`, `knowledge_transfer`, `calculate_similarity`, `match_and_align`,
    `evaluate`. In one go: `fit` on training rows, then `run` (or `transform`) on others.

    To compare two modalities, their rows are brought into one space: through the map from source to target where one is
    fitted, else the map from target to source, else both into the shared space, else as they are, if they have equally
    many columns. A modality is compared with itself as it is.

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
    method : str, default "topk"
        As in `match`.
    k : int, optional
        Matches per row; where left out 10 for topk, but never more than there are rows, and as `match` has it for other
        methods.
    fusion : str or dict, default "concatenate"
        How several modalities on one side act together. "concatenate": their unit rows side by side, whose cosine is
        the weighted mean of theirs; no score matrix. Or a method of `fusion.fuse`, such as "weighted_sum" or
        "reciprocal_rank": they make the (m, n) scores. Their keywords go into a dict: {"method": "weighted_sum",
        "normalizer": "zmuv"}.
    weights : dict modality -> float, optional
        For the fusion; 1 where left out.
    control : dict, optional
        `**control` of the operations: backend, max_bytes, n_threads, .. Steps and maps are fitted in `n_threads`, too.

    Attributes
    ----------
    data_, embeddings_ : dict modality -> array
        What `load_data` took and what `preprocess_data` made of it.
    steps_ : dict modality -> Chain
    widths_ : dict modality -> int
        Columns of the rows that the steps were fitted on; others are refused.
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
        self.widths_: dict[str, int] = {}
        self.maps_: dict[tuple[str, str], TransferMap] = {}
        self.shared_: str | None = None
        self.similarities_: dict[Direction, Similarity] = {}

    # ------------------------------------------------------------------------------------------------ step by step

    def load_data(self, data: Mapping[str, Any], *, pairs: Any = None, labels: Any = None) -> dict[str, Array]:
        """Take the rows of each modality. What was fitted before stays and can be applied to them.

        Parameters
        ----------
        data : dict modality -> array_like (n, d), or path of a file that `files.read_embeddings` reads
        pairs : array_like (p, 2), or dict (modality, modality) -> array_like (p, 2), optional
            Rows that belong together, a pair given twice counting twice for the map; one array will do for two
            modalities, in the order of `data`. Left out: row i with row i or, if labels are given and differ row by
            row, each row with all rows of its label.
        labels : array_like (n,), or dict modality -> array_like (n,), optional
            A class for each row, all text or all numbers; one array will do where row i of all modalities is one item.

        Returns
        -------
        dict modality -> array
            Memory maps stay memory maps.
        """
        loaded = rows_by_name(data)
        labels, pairs = labels_by_name(labels, loaded), pairs_by_names(pairs, loaded)
        self.data_, self.labels_, self.pairs_ = loaded, labels, pairs
        self.embeddings_, self.similarities_ = {}, {}
        return loaded

    def preprocess_data(self, *, fit: bool = True) -> dict[str, Array]:
        """Run the steps of each modality on the loaded rows: fitted on these rows or, with fit=False, as they are.

        Fitting again forgets the maps, which belong to the old space.
        """
        self._after(self.data_, "load_data", "preprocess_data")
        if fit:
            steps = new_steps(self.preprocess, self.data_)
            shared = one_modality("shared", next(iter(self.data_)) if self.shared is None else self.shared, self.data_)
            embeddings = self._preprocessed(self.data_, steps, fit=True)
            self.steps_, self.shared_, self.maps_, self.embeddings_ = steps, shared, {}, embeddings
            self.widths_ = {name: rows.shape[1] for name, rows in self.data_.items()}
        else:
            self.embeddings_ = self._preprocessed(self.data_, self.steps_)
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
        self._after(self.embeddings_, "preprocess_data", "knowledge_transfer")
        source = one_modality("source", source, self.embeddings_)
        target = one_modality("target", self.shared_ if target is None else target, self.steps_)
        if source == target:
            raise ValueError(f"target must be another modality than source, got {target!r} for both")
        if fit:
            one_modality("target", target, self.embeddings_)
            given = self.pairs_ if pairs is None else {(source, target): pairs_of(pairs, (source, target), self.data_)}
            left, right, weight = training_rows(source, target, self.embeddings_, given, self.labels_)
            keywords = {"sample_weight": weight, **fit_keywords(self.transfer), **options}
            with self._limited("fitting"), about(f"map {source!r} -> {target!r}"):
                self.maps_[source, target] = fit_transfer(left, right, **keywords)
            self.similarities_ = {}
        elif (source, target) not in self.maps_:
            raise RuntimeError(
                f"knowledge_transfer({source!r}, {target!r}) must be fitted before it is applied: leave out fit=False"
            )
        mapped = self._spaces("knowledge_transfer").mapped(source, target)
        return Transfer(source, target, self.maps_[source, target], mapped)

    def calculate_similarity(
        self, source: Names, target: Names, *, metric: str | None = None, **keywords: Any
    ) -> Similarity:
        """All scores of the rows of source (m) with those of target (n): an (m, n) matrix, higher is better.

        The similarity for cosine, correlation and dot, minus the distance for other metrics; fused where a side names
        several modalities. It is kept for `match_and_align(.., metric="precomputed")`. `keywords` are those of
        `pairwise_distances`: metric_kwargs, dtype, max_bytes, ..
        """
        metric = self.metric if metric is None else metric
        source, target = self._side("source", source), self._side("target", target)
        spaces = self._spaces("calculate_similarity")
        scores = spaces.scores(source, target, metric, late_fusion(self.fusion), **keywords)
        self.similarities_[source, target] = Similarity(source, target, metric, scores)
        return self.similarities_[source, target]

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
        method = one_of("method", self.method if method is None else method, METHODS)
        names: Direction = ("rows", "columns")
        X: Array
        Y: Array | None = None
        if target is not None:
            names = self._side("source", source), self._side("target", target)
            X, Y, metric, keywords = self._searched(*names, metric, "match_and_align", keywords)
        elif metric == "precomputed":
            X, keywords = rows_of("source", source), {**self._control(), **keywords}
        else:
            raise ValueError(f"target must be given with metric={metric!r}, got None")
        if (chosen := self.k if k is None else k) is None and method in DEFAULT_K:
            chosen = min(DEFAULT_K[method], X.shape[1] if Y is None else len(Y))
        return Alignment(*names, method, metric, match(X, Y, method, k=chosen, metric=metric, **keywords))

    def evaluate(self, source: Names, target: Names, **options: Any) -> dict[str, float]:
        """Search every row of source in target and measure where the right ones come.

        Right is: the same label, where both modalities have labels; else the loaded pairs; else row i for row i.
        `options` are those of `evaluate.retrieval`: k, ties, empty, exclude_self, or other positives or labels.
        """
        source, target = self._side("source", source), self._side("target", target)
        metric = options.pop("metric", self.metric)
        X, Y, metric, options = self._searched(source, target, metric, "evaluate", options)
        if not {"positives", "labels"} & set(options):
            answers = self._right_answers(source, target)
            if answers is None:
                raise ValueError(
                    f"pairs or labels must be loaded to evaluate {source!r} against {target!r}, "
                    "whose rows are not equally many, got neither"
                )
            options |= answers
        return measures.retrieval(X, Y, metric=metric, **options)

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
        embeddings = self._preprocessed(rows_by_name(data), self.steps_)
        spaces = Spaces(embeddings, self.maps_, self.shared_, {}, self._control())
        return {name: spaces.mapped(name, self.shared_) for name in embeddings}

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
        alignments, measured = {}, {}
        for chosen in permutations(self.data_, 2) if directions is None else directions:
            if not isinstance(chosen, tuple | list) or len(chosen) != 2:
                raise TypeError(f"directions must be pairs (source, target), got {brief(chosen)}")
            direction = self._side("source", chosen[0]), self._side("target", chosen[1])
            alignments[direction] = self.match_and_align(*direction)
            if self._right_answers(*direction) is not None:
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
        write_saved(path, to_arrays(Stored(self.get_params(), self.shared_, self.steps_, self.widths_, self.maps_)))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a pipeline that `save` wrote. Nothing is unpickled."""
        return read_saved(path, "CrossModalPipeline", cls._restored)

    @classmethod
    def _restored(cls, arrays: Mapping[str, Array]) -> Self:
        stored = from_arrays(arrays)
        pipeline = cls(**stored.params)
        pipeline.shared_, pipeline.steps_, pipeline.maps_ = stored.shared, stored.steps, stored.maps
        pipeline.widths_ = stored.widths
        return pipeline

    def __repr__(self) -> str:
        return f"CrossModalPipeline({', '.join(f'{name}={value!r}' for name, value in self.get_params().items())})"

    # ------------------------------------------------------------------------------------------------ what all share

    def _after(self, state: Mapping[str, Array], needed: str, called: str) -> None:
        if not state:
            raise RuntimeError(f"{needed} must be called before {called}")

    def _side(self, role: str, names: Any) -> Names:
        return one_side(role, names, {name: len(rows) for name, rows in self.data_.items()})

    def _control(self) -> dict[str, Any]:
        return control_keywords(self.control)

    def _limited(self, label: str) -> AbstractContextManager[Any]:
        """For what is computed here and not by an operation: BLAS limited to `n_threads`, a bar where one is wanted."""
        return running(resolve(cast(Control, self._control())), label)

    def _preprocessed(self, data: dict[str, Array], steps: dict[str, Chain], fit: bool = False) -> dict[str, Array]:
        if not steps:
            raise RuntimeError("fit or preprocess_data() must be called before fitted steps are applied")
        found = {}
        with self._limited("preprocessing"):
            for name, rows in data.items():
                chain = steps[one_modality("data", name, steps)]
                if not fit and rows.shape[1] != self.widths_.get(name, rows.shape[1]):
                    width = self.widths_[name]
                    raise ValueError(f"data[{name!r}] must have {width} columns, as fit saw, got shape {rows.shape}")
                with about(f"data[{name!r}]"):
                    found[name] = chain.fit_transform(rows) if fit else chain.transform(rows)
        return found

    def _spaces(self, called: str) -> Spaces:
        self._after(self.embeddings_, "preprocess_data", called)
        weights = weights_by_name(self.weights, self.steps_)
        return Spaces(self.embeddings_, self.maps_, self.shared_, weights, self._control())

    def _searched(
        self, source: Names, target: Names, metric: str, called: str, keywords: Mapping[str, Any]
    ) -> tuple[Array, Array | None, str, dict[str, Any]]:
        """What to search, by which metric, with which keywords: two sides of embeddings, or scores and None."""
        keywords = {**self._control(), **keywords}
        if isinstance(metric, str) and metric == "precomputed":
            if (source, target) not in self.similarities_:
                raise RuntimeError(
                    f"calculate_similarity{(source, target)!r} must be called before {called}(.., metric='precomputed')"
                )
            return self.similarities_[source, target].scores, None, metric, keywords
        spaces, fuse = self._spaces(called), late_fusion(self.fusion)
        if fuse is None or (isinstance(source, str) and isinstance(target, str)):
            return *spaces.embedded(source, target), metric, keywords
        scoring = {name: keywords[name] for name in (*Control.__annotations__, "metric_kwargs") if name in keywords}
        keywords.pop("metric_kwargs", None)
        return spaces.scores(source, target, metric, fuse, **scoring), None, "precomputed", keywords

    def _right_answers(self, source: Names, target: Names) -> dict[str, Any] | None:
        """As `right_answers`; several modalities of a side speak by the first."""
        source, target = (side if isinstance(side, str) else side[0] for side in (source, target))
        return right_answers(source, target, self.data_, self.pairs_, self.labels_)
