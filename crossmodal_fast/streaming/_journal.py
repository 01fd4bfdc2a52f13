"""What a search has done so far, in a folder beside its output: checked when it goes on, gone when it has ended."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..files import FileError
from ..files._atomic import unwritten
from ..files._sections import Sections, create

Array = NDArray[Any]
KIND = "streaming.topk"


class Journal:
    """Arrays by name, each set in a file that is there whole or not at all and has checksums.

    `settings` are all that the arrays depend on. With `resume` those of an earlier run are taken over if it had the
    same settings, and refused if not; otherwise they are removed.
    """

    def __init__(self, output: Path, settings: Mapping[str, Any], resume: bool) -> None:
        self.folder = output.with_name(f"{output.name}.partial")
        if not resume:
            shutil.rmtree(self.folder, ignore_errors=True)
        if self.folder.exists() and not (self.folder.is_dir() and all(map(Path.is_file, self.folder.iterdir()))):
            raise FileError(f"'{self.folder}' must be free for what is done so far, got something else: move it away")
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise unwritten(output, error) from error
        self._resumable = bool(settings)
        given: dict[str, Any] = json.loads(json.dumps(settings))  # as they are read back
        earlier = self._read("settings")
        if earlier is None:
            for file in self.folder.iterdir():  # nobody knows what they belong to
                file.unlink()
            create(self.folder / "settings", given, {})
            return
        changed = [name for name in given if earlier[0].get(name) != given[name]]
        if changed:
            raise FileError(
                f"'{output}' must be resumed with what it was begun with, got another {changed[0]}; "
                "without resume it begins anew"
            )

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, *_: object) -> None:
        """A search that ends before anything was done, or that cannot be resumed, leaves nothing."""
        if kind is not None and (not self._resumable or [file.name for file in self.folder.iterdir()] == ["settings"]):
            self.remove()

    def get(self, name: str) -> dict[str, Array] | None:
        """The arrays, or None where they are missing or damaged."""
        found = self._read(name)
        return found and found[1]

    def put(self, name: str, arrays: Mapping[str, Array]) -> None:
        create(self.folder / name, {}, arrays)

    def drop(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    def remove(self) -> None:
        shutil.rmtree(self.folder)

    def _read(self, name: str) -> tuple[dict[str, Any], dict[str, Array]] | None:
        try:
            file = Sections(self.folder / name, KIND)
            return file.about, {array: file.array(array).whole() for array in file.entries}
        except FileError:
            return None


class Memory:
    """The same for a search that writes nothing."""

    def __init__(self) -> None:
        self._held: dict[str, Mapping[str, Array]] = {}

    def get(self, name: str) -> Mapping[str, Array] | None:
        return self._held.get(name)

    def put(self, name: str, arrays: Mapping[str, Array]) -> None:
        self._held[name] = arrays

    def drop(self, name: str) -> None:
        self._held.pop(name, None)

    def remove(self) -> None:
        self._held.clear()
