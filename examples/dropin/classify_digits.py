"""scikit-learn's KNeighborsClassifier on its handwritten digits, and the same code with one import changed.

`python examples/dropin/classify_digits.py [--copies 10] [--rounds 5]`: `--copies` of the digits, shifted and noisy,
make the training set larger than the 1,797 that scikit-learn has.
"""

from typing import Any

import numpy as np
from side_by_side import compare, options
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def call_site(KNeighborsClassifier: Any, train: Any, digits: Any, test: Any) -> Any:
    """As its users wrote it."""
    model = KNeighborsClassifier(n_neighbors=5, algorithm="brute", weights="distance")
    model.fit(train, digits)
    return model.predict(test)


def data(copies: int) -> tuple[Any, ...]:
    """Train and test rows (n, 64), and the digits of each."""
    rows, digits = load_digits(return_X_y=True)
    train, test, known, hidden = train_test_split(rows, digits, test_size=0.5, random_state=0)
    random = np.random.default_rng(0)
    many = [train] + [train + random.normal(0, 0.5, train.shape) for _ in range(copies - 1)]
    return np.concatenate(many), test, np.tile(known, copies), hidden


def main() -> tuple[float, float, float]:
    """Compare and time both; (seconds before, seconds after, ratio)."""
    chosen = options(__doc__, copies=10)
    train, test, known, hidden = data(chosen.copies)

    def before() -> Any:
        from sklearn.neighbors import KNeighborsClassifier

        return call_site(KNeighborsClassifier, train, known, test)

    def after() -> Any:
        from crossmodal_fast.estimators import KNeighborsClassifier

        return call_site(KNeighborsClassifier, train, known, test)

    def agree(first: Any, second: Any) -> str:
        if not np.array_equal(first, second):
            raise AssertionError(f"{(first != second).sum()} of {len(first)} digits differ")
        return f"all {len(first)} digits are the same, {np.mean(first == hidden):.2%} of them right"

    return compare("scikit-learn, KNeighborsClassifier", before, after, agree, chosen.rounds)


if __name__ == "__main__":
    main()
