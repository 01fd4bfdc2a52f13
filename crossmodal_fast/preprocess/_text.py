"""From texts to rows, through scikit-learn."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import brief, number, numbers_of, one_of, whole
from ._rows import Array, Float64

ANALYZERS = ("word", "char", "char_wb")


def _alike(texts: "HashedText") -> Float64:
    return np.ones(texts.n_features)


def _tfidf(texts: "HashedText") -> Float64:
    return np.log((1 + texts.count_) / (1 + texts.texts_with_)) + 1


def _sif(texts: "HashedText") -> Float64:
    return texts.rarity / (texts.rarity + texts.terms_ / max(1.0, float(texts.terms_.sum())))


WEIGHTINGS: dict[str, Callable[["HashedText"], Float64]] = {"none": _alike, "tfidf": _tfidf, "sif": _sif}


class HashedText:
    """Texts as unit rows: counts of words or runs of letters, hashed into slots, common ones weighing less.

    Parameters
    ----------
    n_features : int, default 1024
        Slots, the columns of the rows. Two terms may share one.
    analyzer : {"word", "char", "char_wb"}, default "char_wb"
        Terms: words of two letters or more; runs of letters; runs of letters inside words. All in lower case.
    shortest, longest : int, default 1 and 3
        Words or letters in a term.
    weighting : {"none", "tfidf", "sif"}, default "none"
        Each count times 1; times log((1 + n) / (1 + n with the term)) + 1 over n training texts; times rarity / (rarity
        + the term's share of all training terms), after which `AllButTheTop(1)` completes the recipe.
    rarity : float, default 1e-3
        Of "sif".

    Attributes
    ----------
    count_, texts_with_, terms_ : ndarray (), (n_features,), (n_features,)
        Training texts; those that hold a term of the slot; terms of the slot in all of them.

    Notes
    -----
    No vocabulary is kept, so that `fit` may go on with `partial_fit`, and statistics of parts can be merged. Rows are
    dense. It takes texts, not rows: it stands before a `Chain`, not in it. Cost: one pass over the texts. Sources:
    Weinberger et al. 2009 (hashing); Spärck Jones 1972 (idf); Arora, Liang, Ma 2017 (SIF).

    Examples
    --------
    >>> rows = HashedText(256).transform(["zero", "zéro", "nine"])
    >>> rows.shape, bool(rows[0] @ rows[1] > rows[0] @ rows[2])
    ((3, 256), True)
    """

    def __init__(
        self,
        n_features: int = 1024,
        *,
        analyzer: str = "char_wb",
        shortest: int = 1,
        longest: int = 3,
        weighting: str = "none",
        rarity: float = 1e-3,
    ) -> None:
        self.n_features, self.analyzer = whole("n_features", n_features), one_of("analyzer", analyzer, ANALYZERS)
        self.shortest = whole("shortest", shortest)
        self.longest = whole("longest", longest, least=self.shortest)
        self.weighting, self.rarity = one_of("weighting", weighting, WEIGHTINGS), number("rarity", rarity)
        self._forget()

    def _forget(self) -> None:
        self.count_, (self.texts_with_, self.terms_) = np.zeros(()), np.zeros((2, self.n_features))

    def fit(self, texts: Iterable[str]) -> Self:
        """Count the terms of n texts, the training texts."""
        counts = self._counts(texts)
        self._forget()
        return self._add(*_statistics(counts))

    def partial_fit(self, texts: Iterable[str]) -> Self:
        """Count the terms of n more texts."""
        return self._add(*_statistics(self._counts(texts)))

    def merge(self, other: Any) -> Self:
        """Add what another `HashedText` of the same parameters has counted."""
        if not isinstance(other, HashedText) or other.get_params() != self.get_params():
            raise TypeError(f"other must be another {self!r} to be merged, got {brief(other)}")
        return self._add(other.count_, other.texts_with_, other.terms_)

    def _add(self, count: Any, texts_with: Float64, terms: Float64) -> Self:
        self.count_, self.texts_with_, self.terms_ = (
            self.count_ + count,
            self.texts_with_ + texts_with,
            self.terms_ + terms,
        )
        return self

    def transform(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Texts (n) -> (n, n_features) float32, rows of length 1; a text without a term gives zeros.

        Raises
        ------
        RuntimeError
            The weighting needs `fit` and there was none.
        ImportError
            scikit-learn is missing.
        """
        if self.weighting != "none" and not self.count_:
            raise RuntimeError(f"HashedText must be fitted to weigh by {self.weighting!r}: call fit(texts) first")
        counts = self._counts(texts)
        weighted = counts.multiply(WEIGHTINGS[self.weighting](self)).tocsr()
        length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
        weighted.data /= np.repeat(np.where(length == 0, 1.0, length), np.diff(weighted.indptr))
        rows: NDArray[np.float32] = weighted.astype(np.float32).toarray()
        return rows

    def fit_transform(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """`fit(texts)`, then `transform(texts)`, (n, n_features)."""
        given = _checked(texts)
        return self.fit(given).transform(given)

    def _counts(self, texts: Iterable[str]) -> Any:
        """(n, n_features) CSR."""
        try:
            from sklearn.feature_extraction.text import HashingVectorizer
        except ImportError as missing:
            raise ImportError(
                "scikit-learn must be installed for HashedText, got none; pip install 'crossmodal-fast[sklearn]'"
            ) from missing
        vectorizer = HashingVectorizer(
            n_features=self.n_features,
            analyzer=self.analyzer,
            ngram_range=(self.shortest, self.longest),
            norm=None,
            alternate_sign=False,
        )
        return vectorizer.transform(_checked(texts)).tocsr()

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments that this was made with."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def get_state(self) -> dict[str, Array]:
        """What was counted, as named arrays."""
        return {"count_": np.asarray(self.count_), "texts_with_": self.texts_with_, "terms_": self.terms_}

    def set_state(self, state: Mapping[str, ArrayLike]) -> Self:
        """Put back what `get_state` gave."""
        found = {name: numbers_of(name, state[name]) for name in self.get_state()}
        self.count_, self.texts_with_, self.terms_ = found["count_"], found["texts_with_"], found["terms_"]
        return self

    def __repr__(self) -> str:
        return f"HashedText({', '.join(f'{name}={value!r}' for name, value in self.get_params().items())})"


def _statistics(counts: Any) -> tuple[int, Float64, Float64]:
    present = np.bincount(counts.indices[counts.data > 0], minlength=counts.shape[1]).astype(np.float64)
    return counts.shape[0], present, np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()


def _checked(texts: Iterable[str]) -> list[str]:
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise TypeError(f"texts must be a sequence of texts, got {brief(texts)}")
    given = list(texts)
    for row, text in enumerate(given):
        if not isinstance(text, str):
            raise TypeError(f"texts must all be texts, got {brief(text)} in row {row}")
    if not given:
        raise ValueError("texts must hold at least one text, got none")
    return given
