"""All that the package writes, in two versions: `write(folder, version)`; `read(folder)` tells which is there."""

import os
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from versions import BIG, QUERIES, ROWS, Written, one_of
from writing_commands import COMMANDS

WRITES = {}


def arrays(ending):
    from crossmodal_fast import files

    def write(folder, version):
        files.write_array(folder / f"x{ending}", BIG[version])

    def read(folder):
        rows = files.read_embeddings(folder / f"x{ending}")
        return one_of(rows, BIG)

    return Written(write, read)


def tables(ending):
    from crossmodal_fast import files

    def write(folder, version):
        columns = {name: np.full(9000, version) for name in ("query", "gallery", "score")}
        files.write_table(folder / f"x{ending}", columns)

    def read(folder):
        return one_of(files.read_matches(folder / f"x{ending}").rows, [np.zeros(9000), np.ones(9000)])

    return Written(write, read)


# ------------------------------------------------------------------------------------------------------------ galleries


def gallery_saved(folder, version):
    import crossmodal_fast as cmf

    cmf.Gallery(ROWS[version], "cosine", np.arange(60) + 1000 * version).save(folder / "g")


def gallery_read(folder):
    import crossmodal_fast as cmf

    cmf.Gallery.verify(folder / "g")
    gallery = cmf.Gallery.load(folder / "g")
    return one_of([*gallery.ids, *gallery.vectors.ravel()],
                  [[*(np.arange(60) + 1000 * version), *ROWS[version].ravel()] for version in range(2)])  # fmt: skip


def changed(change):
    """A gallery in a file, changed there; a change that was made already is not made again."""

    def write(folder, version):
        import crossmodal_fast as cmf

        if version == 0:
            cmf.Gallery(ROWS[0]).save(folder / "g")
            cmf.Gallery.load(folder / "g", on_disk=True, writable=True).add(ROWS[1][:30], ids=np.arange(30) + 500)
            return
        change(cmf.Gallery.load(folder / "g", on_disk=True, writable=True), folder / "g")

    def read(folder, expected):
        import crossmodal_fast as cmf

        cmf.Gallery.verify(folder / "g")
        gallery = cmf.Gallery.load(folder / "g")
        before = [*range(60), *range(500, 530)], np.concatenate([ROWS[0], ROWS[1][:30]])
        kept = expected(np.array(before[0]), before[1])
        versions = [[*ids, *rows.ravel()] for ids, rows in (before, kept)]
        return one_of([*gallery.ids, *gallery.vectors.ravel()], versions)

    return write, read


def added(gallery, path):
    if 800 not in gallery.ids:
        gallery.add(ROWS[1][30:], ids=np.arange(800, 830))


def removed(gallery, path):
    if 3 in gallery.ids:
        gallery.remove([3, 4, 505])


def compacted(gallery, path):
    removed(gallery, path)
    gallery.save(path)


def without(ids, rows):
    kept = ~np.isin(ids, [3, 4, 505])
    return ids[kept], rows[kept]


def with_more(ids, rows):
    return [*ids, *range(800, 830)], np.concatenate([rows, ROWS[1][30:]])


for _name, _change, _after in (
    ("gallery, rows added", added, with_more),
    ("gallery, rows removed", removed, without),
    ("gallery, rows removed and saved anew", compacted, without),
):
    _write, _read = changed(_change)
    WRITES[_name] = Written(_write, partial(_read, expected=_after))
WRITES["gallery"] = Written(gallery_saved, gallery_read)


# ------------------------------------------------------------------------------------------------------------ streaming


def streamed(ending, resume):
    """The journal's own changes are those of .npy; the others keep the finished blocks alone, a third of them."""

    def write(folder, version):
        import crossmodal_fast as cmf
        from crossmodal_fast import streaming
        from crossmodal_fast.streaming import _run

        if ending == ".npy":
            _run.KEPT_SECONDS, _run.STRETCH_BYTES = -1, 25 * 24
        _run.SHARES |= {"queries": 5 * 24 / 2**30}
        with cmf.use_backend("numpy"):
            streaming.topk(QUERIES, ROWS[version], 3, output=folder / f"o{ending}", resume=resume)

    def read(folder):
        import crossmodal_fast as cmf

        expected = [cmf.topk(QUERIES, rows, 3, backend="numpy").indices.ravel() for rows in ROWS]
        # Two files cannot appear at one moment, nor a folder take another's place: until then what was done is beside.
        begun = (folder / f"o{ending}.partial").is_dir()
        if ending == ".zarr" and begun and not (folder / "o.zarr").exists():
            return 0
        found = [one_of(part, expected) for part in results(folder, ending)]
        if len(set(found)) == 1:
            return found[0]
        return 0 if begun and sorted(found) == [0, 1] else f"parts {found}"

    return Written(write, read, True)


def results(folder, ending):
    """The indices, from every file that has them or belongs to them."""
    import crossmodal_fast as cmf

    path = folder / f"o{ending}"
    if ending == ".npy":
        distances, indices = (np.load(folder / f"o.{name}.npy") for name in ("distances", "indices"))
        both = [cmf.topk(QUERIES, rows, 3, backend="numpy") for rows in ROWS]
        other = next((one.indices for one in both if np.array_equal(one.distances, distances)), np.zeros(1))
        return [indices.ravel(), other.ravel()]
    if ending == ".h5":
        import h5py

        with h5py.File(path) as file:
            return [file["indices"][:].ravel()]
    if ending == ".zarr":
        import zarr

        return [zarr.open(path, mode="r")["indices"][:].ravel()]
    return [cmf.files.read_matches(path).columns]


# --------------------------------------------------------------------------------------------------------------- others


def kept(make, load, name="kept.npz"):
    """What has `save` and `load`: a version is what is made of its rows."""

    def write(folder, version):
        make(version).save(folder / name)

    def read(folder):
        found = flattened(load(folder / name))
        return one_of(found, [flattened(make(version)) for version in range(2)])

    return Written(write, read)


def flattened(saved):
    from crossmodal_fast.pipeline import _storage

    if hasattr(saved, "to_arrays"):
        arrays = saved.to_arrays()
    elif hasattr(saved, "maps_"):
        parts = saved.get_params(), saved.shared_, saved.steps_, saved.widths_, saved.maps_
        arrays = _storage.to_arrays(_storage.Stored(*parts))
    else:
        arrays = vars(saved)
    numbers = [np.ravel(array) for _, array in sorted(arrays.items()) if np.asarray(array).dtype.kind == "f"]
    return np.concatenate(numbers)


def transfer_map():
    import crossmodal_fast as cmf

    return kept(
        lambda version: cmf.fit_transfer(ROWS[version][:, :3], ROWS[version], method="ridge"), cmf.TransferMap.load
    )


def pipeline():
    import crossmodal_fast as cmf

    def make(version):
        sides = {"image": ROWS[version][:, :4], "text": ROWS[version][:, 1:]}
        return cmf.CrossModalPipeline(["center", "normalize"]).fit(sides)

    return kept(make, cmf.CrossModalPipeline.load)


def picture():
    """A version is a size of the picture's file."""
    import crossmodal_fast as cmf

    def draw(path, version):
        rows = ROWS[version]
        cmf.diagnose(rows, rows + 1, backend="numpy").plot(path)

    def write(folder, version):
        draw(folder / "p.png", version)

    def read(folder):
        with TemporaryDirectory() as other:
            paths = [Path(other, f"{version}.png") for version in range(2)]
            for version, path in enumerate(paths):
                draw(path, version)
            drawn = [path.read_bytes() for path in paths]
        found = (folder / "p.png").read_bytes()
        return drawn.index(found) if found in drawn else f"{len(found)} bytes"

    return Written(write, read)


def faiss_index():
    def write(folder, version):
        from crossmodal_fast.compat import faiss

        index = faiss.IndexFlatL2(6)
        index.add(ROWS[version])
        faiss.write_index(index, folder / "x.index")

    def read(folder):
        from crossmodal_fast.compat import faiss

        return one_of(faiss.read_index(folder / "x.index").reconstruct_n(), ROWS)

    return Written(write, read)


def embeddings():
    from crossmodal_fast.encoders import Function

    def encoded(folder, version):
        made = []
        rows = Function(lambda texts: (made.append(1), [[len(text), version] for text in texts])[1], "lengths").encode(
            ["one", "three"], cache=folder / "cache"
        )
        return rows, made

    def write(folder, version):
        encoded(folder, 1)
        if version == 0:  # nothing was kept: the old state is an empty folder
            for file in (folder / "cache").iterdir():
                file.unlink()

    def read(folder):
        return int(any((folder / "cache").glob("[!.]*.npy")))

    return Written(write, read)


def compiled():
    """A kernel in its folder."""

    def write(folder, version):
        os.environ["CROSSMODAL_FAST_CACHE_DIR"] = str(folder / "kernels")
        from crossmodal_fast.kernels.tiles import jit

        jit.folder.cache_clear()
        jit._write("kernel.nbc", bytes([version]) * 300_000)

    def read(folder):
        from crossmodal_fast.kernels.tiles import jit

        os.environ["CROSSMODAL_FAST_CACHE_DIR"] = str(folder / "kernels")
        jit.folder.cache_clear()
        content = jit._read("kernel.nbc")
        return one_of(np.frombuffer(content or b"", np.uint8), [np.full(300_000, version) for version in range(2)])

    return Written(write, read)


MADE = {
    **{f"array{ending}": partial(arrays, ending) for ending in (".npy", ".npz", ".parquet", ".csv", ".safetensors")},
    **{f"table{ending}": partial(tables, ending) for ending in (".parquet", ".csv", ".npz")},
    **{
        f"streamed{ending}{' resumed' * resume}": partial(streamed, ending, resume)
        for ending in (".npy", ".h5", ".zarr", ".parquet", ".csv", ".npz")
        for resume in (False, True)
    },
    "transfer map": transfer_map,
    "pipeline": pipeline,
    "picture of a diagnosis": picture,
    **COMMANDS,
    "index of FAISS": faiss_index,
    "embeddings kept": embeddings,
    "kernel": compiled,
}  # fmt: skip


class _Made(dict):
    """Made when it is asked for: what one needs to be imported, another does not."""

    def __missing__(self, name):
        self[name] = MADE[name]()
        return self[name]


WRITES = _Made(WRITES)
NAMES = [*WRITES, *MADE]
