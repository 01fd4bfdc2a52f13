"""Rows of the benchmarks become tables, pictures and a page, and README.md says what the newest rows say."""

import json
from dataclasses import replace

import bars
import exponents
import growth
import numpy as np
import page
import plot
import pytest
import report
import rows
import shapes
from scipy.stats import linregress

from benchmark_cases import CASES, row


def tables(text):
    return [line for line in text.splitlines() if line.startswith("|")]


def test_the_table_shows_losses_wrong_neighbours_and_who_is_missing():
    text = report.report(
        [
            row("FAISS", ratio=0.643, wrong=3),
            row(shapes.OURS),
            row("bare GEMM", ratio=0.5, error=None, wrong=None),
            row("SciPy", ratio=47.11, error=None, wrong=None),
            row("torch cdist", skipped="No module named 'torch'"),
        ]
    )
    assert tables(text) == [
        "|  | crossmodal_fast numpy | FAISS | bare GEMM | SciPy |",
        "|---|---:|---:|---:|---:|",
        "| `topk` 12 x 40 x 9, k = 3 | 12 ms (3e-08) | **0.64x** (3e-08, 3 wrong) | **0.5x** | 47x |",
    ]
    assert "medians of 7 to 7 rounds; other processes took up to 1% of the cores" in text
    assert "- torch cdist: No module named 'torch'" in text.splitlines()
    assert "- `topk` 12 x 40 x 9, k = 3: FAISS **0.64x**" in text.splitlines()


def test_bars_are_met_missed_or_not_measured():
    wide = [row("FAISS", shapes.WIDE, ratio=1.7), row("bare GEMM", shapes.WIDE, ratio=1.19)]
    found = [
        *wide,
        row("scikit-learn", shapes.PAIRS[0], skipped="not here"),
        row(shapes.OURS, shapes.IMPORT, ms=250.0, ratio=None),
        row(shapes.OURS, shapes.FIRST_CALLS["numba", "cold"], ms=4001.0, ratio=None),
    ]
    words = {(bar.case, bar.contender): word for bar, _, word in bars.verdicts(found)}
    assert words[shapes.WIDE, "FAISS"] == bars.MET
    assert words[shapes.WIDE, "bare GEMM"] == bars.MISSED
    assert words[shapes.PAIRS[0], "scikit-learn"] == bars.UNKNOWN
    assert words[shapes.IMPORT, shapes.OURS] == bars.MET
    assert words[shapes.FIRST_CALLS["numba", "cold"], shapes.OURS] == bars.MISSED
    assert list(words.values()).count(bars.UNKNOWN) == len(shapes.BARS) - 4
    text = report.report(found)
    for line in (
        "| large batch: `topk` 2,000 x 100,000 x 768, k = 10 | bare GEMM | 1.2x | 1.19x (0.9 to 1.1) | **missed** |",
        "| distances: `pairwise_distances` 1,000 x 10,000 x 256 | scikit-learn | 1.5x | not here | not measured |",
        "| import, beyond NumPy |  | 0.25 s | 250 ms | met |",
    ):
        assert line in tables(text)


def test_every_row_is_in_the_full_tables():
    text = report.full(
        [row(shapes.OURS, ran="numba", precision="int16", candidates=10.25, memory=123456), row("FAISS")]
    )
    of = [line for line in tables(text) if line.startswith("| `topk` 12 x 40 x 9, k = 3 | crossmodal_fast numpy")]
    assert of == [
        "| `topk` 12 x 40 x 9, k = 3 | crossmodal_fast numpy | 12 ms | 5% | 1x | 10.0 |  |  | 0.1 MB | 0 | 3e-08 "
        f"| numba int16 | 10.2 | {rows.commit()} |"
    ]
    assert sum("k = 3 | FAISS |" in line for line in tables(text)) == 1


def test_rows_none_of_which_was_timed_are_reported_with_their_reasons():
    found = [row(shapes.OURS, skipped="no time"), row("FAISS", skipped="not here")]
    for text in (report.report(found), report.full(found)):
        assert "nothing was timed" in text
        assert "- FAISS: not here" in text


def test_reasons_are_not_taken_for_tables_or_html():
    found = [row("FAISS", shapes.WIDE, skipped="a | b <b>c</b>")]
    (line,) = [line for line in tables(report.report(found)) if "FAISS" in line and "10 |" in line and "a " in line]
    assert "| a \\| b <b>c</b> |" in line
    made = page.html(f"# T<\n\n{report.report(found)}", {})
    assert '<td style="text-align:right">a | b &lt;b&gt;c&lt;/b&gt;</td>' in made
    assert "<title>T&lt;</title>" in made


@pytest.mark.parametrize("line", ["", '{"operation": "to', "[]", "{}", "half"])
def test_a_line_that_is_no_row_is_named(line, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row("FAISS")) + f"\n{line}\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"^rows.jsonl, line 2, must be a row of results, got '"):
        rows.read([path])


@pytest.mark.parametrize("missing", ["commit", "ms", "ratio", "error", "wrong"])
def test_a_row_without_one_of_its_fields_is_named(missing, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({name: value for name, value in row("FAISS").items() if name != missing}) + "\n")
    with pytest.raises(SystemExit, match=r"^rows.jsonl, line 1, must be a row of results, got '"):
        rows.read([path])


def test_the_newest_file_is_reported_with_tables_and_a_picture_beside_it(tmp_path, capsys, monkeypatch):
    found = [
        row(name, shapes.search(m, 100_000, 256), gflops=speed * m)
        for name, speed in ((shapes.OURS, 2.0), ("FAISS", 1.0))
        for m in (1, 16)
    ]
    for name in ("b-2026-01-02", "a-2026-01-03"):
        rows_text = "".join(json.dumps(part) + "\n" for part in found)
        (tmp_path / f"{name}.jsonl").write_text(rows_text, encoding="utf-8")
    monkeypatch.setattr(report, "PAGES", tmp_path / "pages")
    (newest,) = report.newest(tmp_path.glob("*.jsonl"))
    assert newest.name == "a-2026-01-03.jsonl"
    report.main([str(newest)])
    assert "[Every row, more pictures](a-2026-01-03.md)" in capsys.readouterr().out
    assert report.table(found).splitlines()[2] in newest.with_suffix(".md").read_text(encoding="utf-8")
    assert newest.with_suffix(".svg").stat().st_size < 200_000
    assert "<svg" in (tmp_path / "pages" / "a-2026-01-03.html").read_text(encoding="utf-8")
    assert not newest.with_name("b-2026-01-02.md").exists()


NEWEST = report.newest(rows.FOLDER.glob("*.jsonl"))[0]


@pytest.fixture(scope="module")
def recorded():
    return rows.read([NEWEST])


def between_the_markers(text):
    return text.partition(f"{report.START}\n")[2].partition(report.END)[0]


def test_the_readme_says_what_the_newest_rows_say(recorded):
    said = between_the_markers(report.README.read_text(encoding="utf-8"))
    assert said == report.shown(NEWEST, recorded), "`make report` writes what the rows say into README.md"


def test_another_time_in_the_rows_would_be_seen(recorded):
    bars_row = next(row for row in recorded if row["contender"] == "FAISS" and bars.case_of(row) == shapes.WIDE)
    slower = [row | {"ratio": 9.99} if row is bars_row else row for row in recorded]
    assert report.shown(NEWEST, slower) != report.shown(NEWEST, recorded)


def named(_, path, pictures=plot.PICTURES):
    """Stands for plot.draw, which takes a second a picture."""
    return [(path.with_name(f"{path.stem}{picture.suffix}.svg"), picture.says) for picture in pictures]


def test_the_tables_beside_the_newest_rows_say_what_they_say(recorded, monkeypatch):
    monkeypatch.setattr(plot, "draw", named)
    pictures = report.drawn(NEWEST, recorded)
    assert NEWEST.with_suffix(".md").read_text(encoding="utf-8") == report.tables_and_pictures(recorded, pictures)
    assert all(picture.exists() for picture, _ in pictures)


def test_every_loss_is_in_the_report(recorded):
    lost = [
        found
        for found in report.arrays_of(recorded)
        if "skipped" not in found and found["contender"] not in (shapes.OURS, *shapes.FLOORS) and found["ratio"] < 1
    ]
    text = "\n".join(report.losses(report.arrays_of(recorded)))
    assert lost
    for found in lost:
        assert f"{found['contender']} **{found['ratio']:.2g}x**" in text


def test_reasons_that_differ_in_seconds_alone_are_one_line():
    found = [
        row("SciPy"),
        *(
            row("SciPy", replace(CASES["topk, normal, None"], m=m), skipped=f"a call would take {m} s, foretold")
            for m in (3, 148, 7)
        ),
        *(row("SciPy", replace(CASES["topk, normal, None"], m=m), skipped="20 s to 70 s a case") for m in (12, 13)),
    ]
    assert report.skipped(found) == [
        "- SciPy: a call would take 3 s to 148 s, foretold (`topk` 3 x 40 x 9, k = 3; `topk` 148 x 40 x 9, k = 3; "
        "`topk` 7 x 40 x 9, k = 3)",
        "- SciPy: 20 s to 70 s a case (`topk` 12 x 40 x 9, k = 3; `topk` 13 x 40 x 9, k = 3)",
    ]


def test_the_roofline_has_the_machine_and_everybody():
    counted = {"gflops": 20.0, "gbs": 2.0, "bandwidth_gbs": 17.0, "peak_gflops": 190.0, "ms": 100.0}
    found = [
        row(shapes.OURS, **counted),
        row("FAISS", **counted | {"bandwidth_gbs": 35.0, "ms": 0.1}),
        row("bare read"),
    ]
    assert plot.intensities(found) == {"crossmodal_fast numpy": [(10.0, 20.0)], "FAISS": [(10.0, 20.0)]}
    assert plot.bandwidths(found) == {"caches": 35.0, "memory": 17.0}


def test_errors_of_0_are_drawn_and_wrong_neighbours_are_marked():
    found = [row("FAISS", ratio=2.0, error=0.0, wrong=3), row("SciPy", error=None), row("NumPy", skipped="why")]
    assert plot.errors(found) == {"FAISS": [(2.0, plot.LEAST_ERROR, True)]}


GROWN = {
    "operation": "topk", "axis": "n", "fixed": {"m": 1000, "k": 10}, "sizes": [1000, 2000, 4000], "ms": [1.0, 2.1, 4.0],
    "spread": [0.1, 0.1, 0.1], "rounds": 7, "exponent": 1.0, "low": 0.954, "high": 1.046, "expected": 1,
}  # fmt: skip


def test_growth_is_reported_where_it_was_measured(tmp_path, monkeypatch):
    found = [row(shapes.OURS)]
    monkeypatch.setattr(exponents, "FOLDER", tmp_path)
    assert "grows" not in report.shown(tmp_path / "a.jsonl", found) + report.full(found)
    name = f"{rows.slug(found[0]['machine'])}-growth-2026-01-02.json"
    (tmp_path / name).write_text(json.dumps({"rows": [GROWN]}), encoding="utf-8")
    assert "the time of `topk` grows as n^1.00 (0.95 to 1.05)" in report.shown(tmp_path / "a.jsonl", found)
    line = "| `topk`, m = 1,000, k = 10 | n | 1,000 | 4,000 | 1.00 | 0.95 to 1.05 | 1 |"
    assert line in tables(report.full(found))
    monkeypatch.setattr(plot, "draw", named)
    drawn = report.drawn(tmp_path / "pictures.jsonl", found)
    assert (tmp_path / name).with_suffix(".svg") in [picture for picture, _ in drawn]


def test_growth_is_drawn_with_its_exponents():
    figure = pytest.importorskip("matplotlib.figure").Figure()
    assert exponents.drawn_growth([GROWN, GROWN | {"operation": "transfer", "exponent": 0.5}], figure)
    labels = [plane.get_legend_handles_labels()[1] for plane in figure.axes]
    assert labels == [["n, exponent 1.00"], ["n, exponent 0.50"]]


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_exponents_of_powers_are_found(exponent):
    sizes = np.array([100, 200, 400, 800, 1600])
    noise = np.exp([0.02, -0.04, 0.03, -0.02, 0.01])
    slope, low, high = growth.fitted(sizes, 3e-5 * sizes**exponent * noise)
    assert slope == pytest.approx(exponent, abs=0.02)
    assert low < exponent < high
    assert high - low < 0.2


def test_the_interval_of_an_exponent_is_that_of_a_table():
    """By hand: x = -1, 0, 1 times log 2, y = 0, 3, 0 of 1/100: slope 0, residuals -1, 2, -1; t(1, 97.5 %) is 12.706."""
    found = growth.fitted([1, 2, 4], np.exp([0.0, 0.03, 0.0]))
    away = 12.7062047 * np.sqrt(6e-4 / 1 / (2 * np.log(2) ** 2))
    assert found == pytest.approx((0.0, -away, away), abs=1e-9)
    law = linregress(np.log([100, 200, 400, 800]), np.log([1.0, 2.1, 3.9, 8.3]))
    slope, low, high = growth.fitted([100, 200, 400, 800], [1.0, 2.1, 3.9, 8.3])
    assert (slope, high - low) == pytest.approx((law.slope, 2 * 4.30265273 * law.stderr))


def test_growth_is_measured_from_right_answers(monkeypatch):
    sweep = growth.Sweep(CASES["topk, normal, None"], "n", (40, 80, 160), 1)
    found = growth.measured(sweep, rounds=2)
    assert found["fixed"] == {"m": 12, "d": 9, "k": 3}
    assert len(found["ms"]) == len(found["spread"]) == 3
    assert found["low"] <= found["exponent"] <= found["high"]
    zeros = np.zeros((12, 3), np.float32), np.zeros((12, 3), np.int64)
    monkeypatch.setitem(growth.OUR_CALLS, "topk", lambda *given, backend: lambda: zeros)
    with pytest.raises(AssertionError, match="index at"):
        growth.measured(sweep)


def test_a_page_holds_its_pictures():
    text = page.html(
        "# Rows\n\n![One](a.svg)\n\n| x |\n|---|\n| `1` < 2 |\n",
        {"a.svg": '<?xml version="1.0"?>\n<svg><g id="p"/><use href="#p" clip-path="url(#p)"/></svg>'},
    )
    assert "<title>Rows</title>" in text
    assert (
        '<figure><svg><g id="a-p"/><use href="#a-p" clip-path="url(#a-p)"/></svg><figcaption>One</figcaption>' in text
    )
    assert "<td><code>1</code> &lt; 2</td>" in text
    assert "<img" not in text
    assert "<?xml" not in text


def test_the_picture_has_a_line_for_each_contender_along_each_size():
    found = [row(shapes.OURS, case, gflops=float(case.m)) for case in shapes.SHORT if case.k]
    found += [row("bare read", shapes.SINGLE), row("FAISS", shapes.SINGLE, skipped="why")]
    sizes = {axis: plot.series(found, axis, fixed) for axis, (_, fixed) in plot.PANELS.items()}
    ours = {axis: [size for size, _ in lines["crossmodal_fast numpy"]] for axis, lines in sizes.items()}
    assert ours == {
        "m": [1, 16, 64, 200, 2000],
        "d": [64, 256, 1024],
        "k": [1, 10, 100, 1000],
        "n": [10_000, 100_000, 1_000_000],
    }
    assert all(lines.keys() == {"crossmodal_fast numpy"} for lines in sizes.values())


def test_a_later_row_takes_the_place_of_an_earlier_one(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row("FAISS", ratio=ratio)) + "\n" for ratio in (1.0, 2.0)))
    assert [found["ratio"] for found in rows.read([path])] == [2.0]


def test_the_table_goes_between_the_markers():
    text = f"above\n{report.START}\nold\n{report.END}\nbelow\n"
    assert report.inserted(text, "new\n") == f"above\n{report.START}\nnew\n{report.END}\nbelow\n"
    with pytest.raises(SystemExit, match=r"README.md must have the lines .*; nothing was written"):
        report.inserted("above\nbelow\n", "new\n")
