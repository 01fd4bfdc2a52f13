"""What the commands of the command line write, in two versions: see `writes`."""

import os
from functools import partial
from types import SimpleNamespace

import numpy as np

from versions import ROWS, Written, one_of

INPUTS = {"a.npy": ROWS[0], "b.npy": ROWS[0][:, ::-1]}
PICTURES = [bytes([version]) * 30_000 for version in range(2)]


def command(words, read, prepared=lambda folder: None):
    """Written by a command: `words` of a version; `prepared` puts there what it reads beside a.npy and b.npy."""

    def write(folder, version):
        from crossmodal_fast import cli

        os.chdir(folder)
        for name, rows in INPUTS.items():
            if not (folder / name).exists():
                with open(folder / name, "xb") as file:
                    np.save(file, rows)
        prepared(folder)
        code = cli.main(words(version))
        if code == cli.INTERRUPTED:
            raise KeyboardInterrupt
        if code:
            raise ValueError(f"exit code {code}")

    return Written(write, read)


def matched(*report):
    """`match`; a version is how many each query has."""

    def words(version):
        return ["match", "a.npy", "b.npy", "--backend", "numpy", "-o", "m.csv", "-k", str(version + 1), *report]

    def read(folder):
        if report and not (folder / report[-1]).read_bytes().endswith(b"</html>\n"):
            return "half a page"
        return by_lines(folder / "m.csv")

    return command(words, read)


def by_lines(table):
    """The version of a table that has a line for its head and, of each of 60 queries, one more than the version."""
    found = table.read_bytes().count(b"\n")
    return found // 60 - 1 if found in (61, 121) else f"{found} lines"


def fused():
    """`fuse` of two tables; a version is how many of a query are kept."""

    def tables(folder):
        for name, shift in (("one.csv", 0), ("other.csv", 2)):
            if not (folder / name).exists():
                lines = [
                    f"{query},{(query + place + shift) % 60},{3 - place}" for query in range(60) for place in range(3)
                ]
                (folder / name).write_text("\n".join(["query,gallery,score", *lines, ""]), encoding="utf-8")

    return command(
        lambda version: ["fuse", "one.csv", "other.csv", "-o", "fused.csv", "--top", str(version + 1)],
        lambda folder: by_lines(folder / "fused.csv"),
        tables,
    )


def ridge(version):
    """The map of a version, in Python."""
    import crossmodal_fast as cmf

    return cmf.fit_transfer(*INPUTS.values(), "ridge", regularization=1.0 + version)


def transfer_fitted():
    """`transfer fit`; a version is its regularization."""
    options = ["--method", "ridge", "--regularization"]

    def read(folder):
        import crossmodal_fast as cmf

        return one_of(cmf.TransferMap.load(folder / "map.npz").M, [ridge(version).M for version in range(2)])

    return command(
        lambda version: ["transfer", "fit", "a.npy", "b.npy", "-o", "map.npz", *options, str(1.0 + version)], read
    )


def transfer_applied():
    """`transfer apply`; a version is the file whose rows are mapped."""

    def fitted(folder):
        if not (folder / "map.npz").exists():
            ridge(0).save(folder / "map.npz")

    def read(folder):
        from crossmodal_fast import files

        versions = [ridge(0).apply(rows) for rows in INPUTS.values()]
        return one_of(files.read_embeddings(folder / "mapped.npy"), versions)

    return command(
        lambda version: ["transfer", "apply", "map.npz", [*INPUTS][version], "-o", "mapped.npy"], read, fitted
    )


def shown():
    """`demo`, told what it finds and draws, as that takes seconds; a version is its table and its picture."""

    def words(version):
        from crossmodal_fast import demo

        demo.data.images = demo.data.speech = demo.data.names
        demo.search.learn = lambda digits: None
        demo.search.explore = lambda pipeline, digits: SimpleNamespace(
            columns=dict.fromkeys(digits, 3), scores=[], exact=(0, 0), searches=[], stats=[], mutual=(0, 0)
        )
        numbers = np.arange(60 * (version + 1))
        demo.search.table = lambda found: {"query": numbers, "gallery": numbers}
        demo._scene = lambda found: version
        demo.picture.draw = lambda scene, file: file.write(PICTURES[scene])
        demo.report.show = lambda told: None
        return ["demo", "-o", "shown", "--backend", "numpy"]

    def read(folder):
        if (folder / "shown" / "matches.png").read_bytes() not in PICTURES:
            return "half a picture"
        return by_lines(folder / "shown" / "matches.csv")

    return command(words, read)


COMMANDS = {
    "match": matched,
    "match with a report": partial(matched, "--report", "m.html"),
    "fuse": fused,
    "transfer fit": transfer_fitted,
    "transfer apply": transfer_applied,
    "demo": shown,
}
