"""The picture of the speed: against the queries, the features, the neighbours and the size of the gallery."""

from statistics import median

from shapes import FLOORS, OURS
from words import column

SEARCHES = ("topk", "Gallery.topk")
# What is fixed along each axis: the middle of the cases in shapes.SHORT.
PANELS = {
    "m": ("queries", {"n": 100_000, "d": 256, "k": 10}),
    "d": ("features", {"m": 2000, "n": 10_000, "k": 10}),
    "k": ("neighbours", {"m": 500, "n": 10_000, "d": 256}),
    "n": ("rows of the gallery", {"m": 200, "d": 128, "k": 10}),
}
SIZE = (11, 7.5)  # inches


def series(found, axis, fixed):
    """{contender: [(size, GFLOP/s)]} of the searches among normal rows with these sizes."""
    lines = {}
    for row in found:
        fits = row["operation"] in SEARCHES and row["data"] == "normal" and "skipped" not in row
        if fits and all(row[name] == size for name, size in fixed.items()):
            lines.setdefault(column(row), []).append((row[axis], row["gflops"]))
    return {name: sorted(points) for name, points in lines.items() if name not in FLOORS or name == "bare GEMM"}


def draw(found, path):
    """Write the picture; whether there was anything to draw. Without matplotlib there is not."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("agg")
    from matplotlib import pyplot

    panels = {axis: series(found, axis, fixed) for axis, (_, fixed) in PANELS.items()}
    if not any(panels.values()):
        return False
    names = sorted({name for lines in panels.values() for name in lines}, key=lambda name: (OURS not in name, name))
    looks = dict(zip(names, looking(names), strict=True))
    peak = median([row["peak_gflops"] for row in found if "peak_gflops" in row] or [0])
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": OURS, "font.size": 9}):
        figure, axes = pyplot.subplots(2, 2, figsize=SIZE, layout="constrained")
        for plane, (axis, (label, fixed)) in zip(axes.flat, PANELS.items(), strict=True):
            for name, points in panels[axis].items():
                plane.plot(*zip(*points, strict=True), label=name, **looks[name])
            if peak:
                plane.axhline(peak, color="0.6", linestyle=":", label="float32 multiply-add peak")
            plane.set(xscale="log", yscale="log", xlabel=label, ylabel="GFLOP/s")
            plane.set_title(", ".join(f"{name} = {size:,}" for name, size in fixed.items()), fontsize=9)
            sizes = sorted({size for points in panels[axis].values() for size, _ in points})
            plane.set_xticks(sizes, [f"{size:,}" for size in sizes])
            plane.minorticks_off()
            plane.grid(alpha=0.25)
        handles = {
            label: handle
            for plane in axes.flat
            for handle, label in zip(*plane.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False)
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)
    return True


def looking(names):
    """Ours in black and thick, the peers each in a colour with a marker of its own, the floor in grey."""
    markers = iter("osv^D<>Ph*")
    colours = iter(f"C{number}" for number in range(10))
    for name in names:
        if name.startswith(OURS):
            yield {"color": "black", "linewidth": 2.5, "marker": "o", "linestyle": "--" if "numpy" in name else "-"}
        elif name in FLOORS:
            yield {"color": "0.5", "linewidth": 1, "linestyle": "-."}
        else:
            yield {"color": next(colours), "linewidth": 1, "marker": next(markers), "markersize": 4}
