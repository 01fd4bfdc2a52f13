"""Any function as an encoder."""

from collections.abc import Callable, Iterable
from typing import Any

from numpy.typing import ArrayLike

from .._arguments import brief
from ._encoder import Encoder


class Function(Encoder):
    """A function that takes a list of inputs and gives their rows: what no other adapter covers, such as a web service.

    Parameters
    ----------
    function : callable
        A list of inputs -> array_like (batch, d).
    name : str
        Name and version of what it does, for the cache, which cannot look into a function: change it with the results.

    Examples
    --------
    >>> Function(lambda texts: [[len(text), 1] for text in texts], "lengths").encode(["one", "three"]).shape
    (2, 2)
    """

    def __init__(self, function: Callable[[list[Any]], ArrayLike], name: str) -> None:
        if not callable(function):
            raise TypeError(f"function must be callable, got {brief(function)}")
        if not isinstance(name, str) or not name:
            raise TypeError(f"name must be a text that tells this function from others, got {brief(name)}")
        self.function, self.name = function, name

    def _check(self, name: str, item: Any) -> None:
        """Everything goes."""

    def _embed(self, batch: list[Any]) -> ArrayLike:
        return self.function(batch)

    def _identity(self) -> Iterable[Any]:
        return ["Function", self.name]
