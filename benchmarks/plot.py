"""Pictures of a file of rows: speed against size, the roofline, and error against speed."""

from collections.abc import Callable
from dataclasses import dataclass

from shapes import FLOORS, OURS
from words import column

SEARCHES = ("topk", "Gallery.topk")
# What is fixed along each axis: the middle of the cases in shapes.SHORT.
PANELS = {
    "m": ("queries", {"n": 100_000, "d": 256, "k": 10}),
    "d": ("features", {"m": 2000, "n": 10_000, "k": 10}),
    "k": ("neighbours", {"m": 500, "n": 10_000, "d": 256}),
    "n": ("rows of the gallery", {"m": 64, "d": 128, "k": 10}),
}
LEAST_ERROR = 1e-17  # where an error of 0 is drawn
FROM_MEMORY = 1 << 26  # bytes that no cache here holds


@dataclass(frozen=True)
class Picture:
    """`draw(found, figure)` says whether there was anything to draw."""

    suffix: str  # of the file's name
    says: str
    size: tuple[float, float]  # inches
    draw: Callable


def series(found, axis, fixed):
    """{contender: [(size, GFLOP/s)]} of the searches among normal rows with these sizes."""
    lines = {}
    for row in found:
        fits = row["operation"] in SEARCHES and row["data"] == "normal" and row.get("gflops")
        if fits and all(row[name] == size for name, size in fixed.items()):
            lines.setdefault(column(row), []).append((row[axis], row["gflops"]))
    return {name: sorted(points) for name, points in lines.items() if name not in FLOORS or name == "bare GEMM"}


def drawn_speed(found, figure):
    panels = {axis: series(found, axis, fixed) for axis, (_, fixed) in PANELS.items()}
    if not any(panels.values()):
        return False
    looks = looking(name for lines in panels.values() for name in lines)
    peak = max((row["peak_gflops"] for row in found if "peak_gflops" in row), default=None)
    for plane, (axis, (label, fixed)) in zip(figure.subplots(2, 2).flat, PANELS.items(), strict=True):
        plane.set_visible(bool(panels[axis]))  # rows of other cases have nothing along some axes
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
    return True


def intensities(found):
    """{contender: [(operations for a byte that must be read, GFLOP/s)]} of all operations that are counted."""
    points = {}
    for row in found:
        if row.get("gflops") and row.get("gbs") and column(row) != "bare read":
            points.setdefault(column(row), []).append((row["gflops"] / row["gbs"], row["gflops"]))
    return points


def bandwidths(found):
    """{what is read from: GB/s}: the fastest reading of little, and the slowest of much."""
    read = [(row["gbs"] * row["ms"] * 1e6, row["bandwidth_gbs"]) for row in found if "bandwidth_gbs" in row]
    much = [speed for size, speed in read if size > FROM_MEMORY]
    named = {"caches": max((speed for _, speed in read), default=None), "memory": min(much, default=None)}
    return {name: speed for name, speed in named.items() if speed}


def drawn_roofline(found, figure):
    points, roofs = intensities(found), bandwidths(found)
    peak = max((row["peak_gflops"] for row in found if "peak_gflops" in row), default=None)
    if not points or not roofs or peak is None:
        return False
    plane, looks = figure.subplots(), looking(points)
    for name, places in points.items():
        look = looks[name] | {"linestyle": "", "marker": looks[name].get("marker", "x"), "markersize": 5}
        plane.plot(*zip(*places, strict=True), label=name, alpha=0.8, **look)
    ends = [min(place for places in points.values() for place, _ in places) / 2]
    ends += [max(place for places in points.values() for place, _ in places) * 2]
    for (name, speed), style in zip(roofs.items(), ("--", "-"), strict=False):
        bend = peak / speed
        between = [ends[0], *([bend] if ends[0] < bend < ends[1] else []), ends[1]]
        heights = [min(peak, speed * place) for place in between]
        plane.plot(between, heights, color="0.4", linestyle=style, label=f"float32 roof, read from {name}")
    plane.set(xscale="log", yscale="log", xlabel="operations for a byte that has to be read", ylabel="GFLOP/s")
    plane.grid(alpha=0.25)
    return True


def errors(found):
    """{contender: [(time by ours, worst relative error, whether a neighbour was wrong)]}."""
    points = {}
    for row in found:
        if row.get("ratio") and row.get("error") is not None:
            place = row["ratio"], max(row["error"], LEAST_ERROR), bool(row["wrong"])
            points.setdefault(column(row), []).append(place)
    return points


def drawn_errors(found, figure):
    points = errors(found)
    if not points:
        return False
    plane, looks = figure.subplots(), looking(points)
    for name, places in points.items():
        speed, error, _ = zip(*places, strict=True)
        look = looks[name] | {"linestyle": "", "markersize": 5}
        plane.plot(speed, error, label=name, alpha=0.8, **look)
    wrong = [place[:2] for places in points.values() for place in places if place[2]]
    if wrong:
        look = {"linestyle": "", "marker": "o", "markersize": 11, "markerfacecolor": "none"}
        plane.plot(*zip(*wrong, strict=True), label="with wrong neighbours", color="red", **look)
    plane.axvline(1, color="0.6", linestyle=":", label="as fast as ours")
    plane.set(xscale="log", yscale="log", xlabel="time divided by ours: slower to the right")
    plane.set_ylabel("worst relative error against float64")
    plane.grid(alpha=0.25)
    return True


PICTURES = (
    Picture("", "Speed against size, beside the peers", (11, 7.5), drawn_speed),
    Picture("-roofline", "Speed against what the machine can do: a roofline", (9, 6.5), drawn_roofline),
    Picture("-errors", "Error against speed", (9, 6.5), drawn_errors),
)


def draw(found, path, pictures=PICTURES):
    """Write the pictures; [(file, what it shows)] of those that show anything. Without matplotlib there are none."""
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError:
        return []
    written = []
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": OURS, "font.size": 9}):
        for picture in pictures:
            figure = Figure(figsize=picture.size, layout="constrained")
            FigureCanvasSVG(figure)
            if picture.draw(found, figure):
                if not any(plane.get_legend() for plane in figure.axes):
                    legend(figure)
                target = path.with_name(f"{path.stem}{picture.suffix}.svg")
                figure.savefig(target, metadata={"Date": None})
                written.append((target, picture.says))
    return written


def legend(figure):
    """One for all planes, each label once, below them."""
    labelled = [plane.get_legend_handles_labels() for plane in figure.axes]
    handles = {label: handle for both in labelled for handle, label in zip(*both, strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False)


def looking(names):
    """{name: look}: ours in black and thick, each peer in a colour with a marker of its own, floors in grey."""
    markers, colours = iter("osv^D<>Ph*Xdp8" * 2), iter(f"C{number % 10}" for number in range(28))
    looks = {}
    for name in sorted(set(names), key=lambda name: (OURS not in name, name)):
        if name.startswith(OURS):
            looks[name] = {"color": "black", "linewidth": 2.5, "marker": "o"}
            looks[name] |= {"linestyle": "--", "markerfacecolor": "none"} if "numpy" in name else {}
        elif name in FLOORS:
            looks[name] = {"color": "0.5", "linewidth": 1, "linestyle": "-.", "marker": "."}
        else:
            looks[name] = {"color": next(colours), "linewidth": 1, "marker": next(markers), "markersize": 4}
    return looks
