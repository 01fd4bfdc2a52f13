"""The demo: its data are whole, its answers exact, its scores far above chance, its files complete."""

import csv
import importlib.util
import io
import shutil
import subprocess
from contextlib import redirect_stdout
from importlib import resources

import numpy as np
import pytest
from matplotlib import image as png

from crossmodal_fast import BackendUnavailable, Matches, cli, demo, fit_transfer
from crossmodal_fast.demo import data, report, search
from crossmodal_fast.files import FileError
from project import ROOT

FEATURES = resources.files("crossmodal_fast.demo").joinpath("spoken_digits.npz")
FEATURES_LIMIT = 2_000_000  # bytes that the repository gives to it
OTHER_BLAS = 0.01  # maps are learned by LAPACK; a last bit may move one of 891 images
SPOKEN_BY = "1.51"  # the espeak-ng of the committed file; another one may speak otherwise


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(Report, printed text, folder) of one run off a terminal."""
    folder = tmp_path_factory.mktemp("demo") / "output"
    printed = io.StringIO()
    with redirect_stdout(printed):
        told = demo.run(folder)
    return told, printed.getvalue(), folder


@pytest.fixture(scope="module")
def stored():
    with FEATURES.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("make_spoken_digits", ROOT / "examples" / "make_spoken_digits.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- the run


def test_it_writes_the_picture_and_the_table_and_nothing_else(ran):
    told, _, folder = ran
    assert sorted(path.name for path in folder.iterdir()) == ["matches.csv", "matches.png"]
    assert told.files == [folder / "matches.png", folder / "matches.csv"]


def test_the_picture_shows_something(ran):
    pixels = png.imread(ran[2] / "matches.png")[..., :3]
    assert pixels.shape == (1155, 1760, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 5000, "spectrograms and a heat map have many colours"
    for column in np.array_split(pixels, 4, axis=1):
        assert (column.std(axis=2) > 0.1).any(), "a quarter of the picture is empty"

    def share(colour):
        target = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0
        return (np.abs(pixels - target).max(axis=2) < 0.02).mean()

    green, red = share(demo.picture.HIT), share(demo.picture.MISS)
    assert green > 0.003
    assert green > 3 * red > 0, "nine rows of ten are hits, and the one miss is not hidden"


def test_the_table_holds_every_match(ran):
    with open(ran[2] / "matches.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    told = ran[0]
    assert len(rows) == 5 * (891 + 600 + 80 + 600 + 891)
    assert sum(len(stats.candidates) for _, stats, _ in told.searches) == 891 + 600 + 80 + 600
    right = [row["right"] == "True" for row in rows]
    assert right == [row["query_digit"] == row["match_digit"] for row in rows]
    assert [row["rank"] for row in rows[:6]] == ["1", "2", "3", "4", "5", "1"]
    scores = {score.search: score.measures for score in told.scores}
    for name in dict.fromkeys(row["search"] for row in rows):
        first = [row for row in rows if row["search"] == name and row["rank"] == "1"]
        hit_rate = np.mean([row["right"] == "True" for row in first])
        assert hit_rate == pytest.approx(scores[name]["hit_rate@1"], abs=1e-12)
        if name.endswith("-> speech"):
            assert "zero, en f2" in {row["match_caption"] for row in first}
    assert name == "image + name -> speech"
    assert first[0]["query_caption"] == "image 906 + een (Dutch)"
    distances = np.array([float(row["distance"]) for row in rows]).reshape(-1, 5)
    assert (np.diff(distances, axis=1) >= 0).all()


@pytest.mark.parametrize(
    ("name", "hit_rate", "mean_average_precision"),
    [
        ("image -> speech", 0.87, 0.77),
        ("speech -> image", 0.93, 0.82),
        ("name -> speech", 0.89, 0.84),
        ("speech -> name", 0.93, 0.76),
        ("image + name -> speech", 0.97, 0.90),
        ("image + name -> speech, RRF", 0.95, 0.87),
    ],
)
def test_maps_find_the_digit(name, hit_rate, mean_average_precision, ran):
    found = next(score.measures for score in ran[0].scores if score.search == name)
    assert found["hit_rate@1"] > hit_rate
    assert found["hit_rate@5"] >= found["hit_rate@1"]
    assert found["map"] > mean_average_precision


def test_chance_is_the_closed_formula(ran):
    chance = [score for score in ran[0].scores if score.kind == "chance"]
    assert [score.gallery for score in chance] == [600, 891, 80]
    for score in chance:
        assert score.measures["hit_rate@1"] == pytest.approx(0.1, abs=0.001)
        assert 0.1 < score.measures["map"] < 0.15
    # 60 of 600 are right: the mean of the average precision of a random order, from its definition
    n, a = 600, 59 / 599
    expected = sum((1 + (i - 1) * a) / i for i in range(1, n + 1)) / n
    assert chance[0].measures["map"] == pytest.approx(expected, rel=1e-12)


def test_fusion_beats_either_modality_alone(ran):
    found = {score.search: score.measures["map"] for score in ran[0].scores}
    assert found["image + name -> speech"] > max(found["image -> speech"], found["name -> speech"]) + 0.03


def test_every_match_is_the_one_of_plain_float64(ran):
    assert ran[0].exact == (3400, 3400)


def test_mutual_matches_are_right(ran):
    pairs, right = ran[0].mutual
    assert pairs > 100
    assert right > 0.97 * pairs


def test_the_certificate_lets_few_through(ran):
    for name, stats, gallery in ran[0].searches:
        assert stats.candidates.min() >= 5, name
        assert stats.candidates.mean() < 0.2 * gallery, name
        assert stats.backend in ("cuda", "numba", "numpy")


def test_off_a_terminal_it_prints_plain_columns(ran):
    told, printed, folder = ran
    lines = printed.splitlines()
    assert not set(printed) & set("\x1b━│┃"), "escape codes or box drawing"
    heading = next(line for line in lines if "hit_rate@1" in line)
    assert heading.split()[-6:] == ["queries", "gallery", "hit_rate@1", "hit_rate@5", "MRR", "mAP"]
    for score in told.scores:
        line = next(line for line in lines if line.startswith(f"  {score.search}  "))
        assert line.split()[-1] == f"{score.measures['map']:.3f}"
        assert len(line) == len(heading)
    assert "Exactness: 3400 of 3400 matches are, index for index, those of a plain float64 computation." in lines
    assert f"Written: {folder / 'matches.png'} and {folder / 'matches.csv'}" in lines
    assert any(line.startswith("Time: ") for line in lines)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_it_prints_tables_by_rich(ran, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("TERM", "xterm")
    screen = Terminal()
    with redirect_stdout(screen):
        report.show(ran[0])
    assert "━" in screen.getvalue() or "─" in screen.getvalue()
    for score in ran[0].scores:
        assert score.search in screen.getvalue()


def rows_of_the_readme(text):
    """Search -> measures, of the table behind the marker."""
    table = text.partition("<!-- demo output -->\n")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {name: [float(value) for value in values] for name, *values in cells}


def test_it_finds_what_the_readme_says(ran):
    told, printed, _ = ran
    assert "Who finds whom" in printed
    found = {score.search: [score.measures[name] for name in report.MEASURES] for score in told.scores}
    said = rows_of_the_readme((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(said) > 3
    for name, values in said.items():
        assert values == pytest.approx(found[name], abs=OTHER_BLAS), name


# ---- where it cannot run


def test_a_missing_library_is_named_with_its_install_command(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError) as caught:
        demo.run(tmp_path)
    assert str(caught.value) == (
        "the demo needs scikit-learn, which is not installed: pip install 'crossmodal-fast[demo]'"
    )


def test_the_output_must_be_a_folder(tmp_path):
    (tmp_path / "notes").touch()
    with pytest.raises(ValueError, match="output must be a folder") as caught:
        demo.run(tmp_path / "notes")
    assert str(caught.value) == f"output must be a folder, got the file '{tmp_path / 'notes'}': choose another name"


def test_the_folder_of_the_output_must_exist(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        demo.run(tmp_path / "none" / "output")
    assert str(caught.value) == (
        f"the folder of '{tmp_path / 'none' / 'output'}' must exist: make it first, mkdir -p '{tmp_path / 'none'}'"
    )
    assert list(tmp_path.iterdir()) == []


def test_what_lies_in_the_way_is_seen_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "learn", lambda digits: pytest.fail("it began to learn"))
    (tmp_path / "matches.csv").mkdir()
    with pytest.raises(FileError) as caught:
        demo.run(tmp_path)
    assert (
        str(caught.value) == f"'{tmp_path / 'matches.csv'}' must be a new or a regular file, got a folder or a device"
    )


@pytest.mark.parametrize(
    ("backend", "sentence"),
    [
        ("abacus", "backend must be 'auto' or one of ['cuda', 'numba', 'numpy'], got 'abacus'"),
        ("numba", "topk cannot run with backend='numba' (numba: there is none)"),
    ],
)
def test_a_backend_that_cannot_run_leaves_nothing_behind(backend, sentence, tmp_path, monkeypatch, capsys):
    def search(operation, backend, *arguments, **keywords):
        raise BackendUnavailable(f"topk cannot run with backend={backend!r} (numba: there is none)")

    monkeypatch.setattr("crossmodal_fast._search.implementation", search)
    assert cli.main(["demo", "--backend", backend, "--output", str(tmp_path / "output")]) == 2
    assert capsys.readouterr().err == f"crossmodal-fast: {sentence}\n"
    assert list(tmp_path.iterdir()) == []


# ---- its parts


def test_maps_are_least_squares_over_all_pairs_of_a_digit():
    digits = {"image": data.images(), "speech": data.speech(), "name": data.names()}
    pipeline = search.learn(digits)
    assert set(pipeline.maps_) == set(search.DIRECTIONS)
    left, right = (digits[name].learned.label for name in ("name", "speech"))
    pairs = np.argwhere(left[:, None] == right)
    rows = pipeline.embeddings_["name"][pairs[:, 0]], pipeline.embeddings_["speech"][pairs[:, 1]]
    np.testing.assert_allclose(pipeline.maps_["name", "speech"].M, fit_transfer(*rows, "lstsq").M, atol=1e-9)


def test_plain_order_puts_equal_rows_by_index():
    gallery = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [2.0, 2.0], [1.0, 0.0]], dtype=np.float32)
    assert search.plain_order(np.array([3.0, 0.0], dtype=np.float32), gallery).tolist() == [2, 4, 1, 3, 0]


def test_the_check_of_exactness_can_say_no(monkeypatch):
    random = np.random.default_rng(5)
    left, right = random.standard_normal((20, 8)), random.standard_normal((50, 8))
    halves = (data.Half(rows, np.zeros(len(rows)), np.full(len(rows), "")) for rows in (left, right))
    found = search.Search("a", *halves, *search.topk(left, right, 5, "cosine"))
    assert search.agreement(left, right, found) == (100, 100)
    found.indices[3] = found.indices[3, ::-1].copy()  # the middle of five stays in its place
    assert search.agreement(left, right, found) == (96, 100)


def test_each_image_gets_a_name_of_its_digit_and_all_languages_serve():
    images, names = np.array([4, 4, 2, 4]), np.tile(np.arange(10), 2)
    assert search.name_for_each(images, names).tolist() == [4, 14, 2, 4]


def test_fused_matches_are_told_like_the_others():
    half = data.Half(np.zeros((4, 2)), np.arange(4), np.array(list("abcd")))
    chosen = search.taken(half, np.array([3, 1]))
    assert (chosen.label.tolist(), chosen.caption.tolist()) == ([3, 1], ["d", "b"])
    scores = np.linspace(1.0, 0.1, 10)
    matches = Matches(np.repeat([0, 1], 5), np.arange(10), scores)
    found = search.fused_search(chosen, search.taken(half, np.array([0, 2])), half, matches)
    assert found.query.caption.tolist() == ["d + a", "b + c"]
    assert found.indices.tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    np.testing.assert_array_equal(found.distances.ravel(), 1 - scores)


def test_class_means():
    scores = np.arange(400.0).reshape(20, 20)
    label = np.arange(20) % 10
    found = search.class_means(scores, label, label)
    assert found.shape == (10, 10)
    assert found[2, 7] == np.mean([scores[2, 7], scores[2, 17], scores[12, 7], scores[12, 17]])


# ---- its data


def test_the_halves_share_no_sheet_voice_or_language():
    written, spoken, spelled = data.images(), data.speech(), data.names()
    for half in (written.learned, written.unseen):
        start = "".join(map(str, half.label[:34])).removeprefix("0")  # the eighth sheet lost its first image
        assert start.startswith("12345678901234567890123456789" + "0955"), "a half begins with a sheet"
    voices = [{caption.split()[-1] for caption in half.caption} for half in (spoken.learned, spoken.unseen)]
    assert [len(one) for one in voices] == [10, 10]
    assert not voices[0] & voices[1]
    languages = [{caption.split()[-1] for caption in half.caption} for half in (spelled.learned, spelled.unseen)]
    assert [len(one) for one in languages] == [8, 8]
    assert not languages[0] & languages[1]
    for modality in (written, spoken, spelled):
        assert {len(half.vectors) == len(half.label) == len(half.caption) for half in vars(modality).values()} == {True}


def test_captions_name_what_is_spoken_and_spelled():
    spoken, spelled = data.speech().learned, data.names().unseen
    assert spoken.caption[:3].tolist() == ["zero, en m1", "one, en m1", "two, en m1"]
    assert spoken.label[:3].tolist() == [0, 1, 2]
    assert spelled.caption[[0, 19]].tolist() == ["nul (Dutch)", "ni (Danish)"]
    assert spelled.label[[0, 19]].tolist() == [0, 9]


def test_letter_grams_ignore_accents_and_count_every_run():
    assert data.letter_grams("zéro").tolist() == data.letter_grams("zero").tolist()
    assert data.letter_grams("u").sum() == 3 + 2 + 1  # <u>: three letters, two pairs, one triple
    assert (data.letter_grams("six") != data.letter_grams("sex")).any()


def test_the_features_are_whole_balanced_and_small(stored):
    assert len(FEATURES.read_bytes()) <= FEATURES_LIMIT
    assert stored["log_mel"].shape == (1200, 32, 40)
    assert stored["log_mel"].dtype == np.uint8
    assert {stored[name].shape for name in ("label", "language", "voice", "speed", "pitch")} == {(1200,)}
    assert np.bincount(stored["label"]).tolist() == [120] * 10
    assert {name: int((stored["language"] == name).sum()) for name in ("en", "de")} == {"en": 600, "de": 600}
    variants = [voice.partition("+")[2] for voice in stored["voice"].tolist()]
    assert {variants.count(name) for name in variants} == {60}
    assert len(set(variants)) == 20
    assert (
        len(set(zip(stored["voice"].tolist(), stored["speed"].tolist(), stored["pitch"].tolist(), strict=True))) == 120
    )
    assert 110 <= stored["speed"].min() < 120 < 210 < stored["speed"].max() <= 220
    assert 20 <= stored["pitch"].min() < 25 < 75 < stored["pitch"].max() <= 80


def test_every_utterance_has_a_loudest_cell_and_is_like_no_other(stored):
    cells = stored["log_mel"].reshape(1200, -1)
    assert (cells.max(axis=1) >= 235).all(), "0 dB is the loudest cell; stretching may lower it by some dB"
    assert (cells.std(axis=1) > 20).all(), "silence"
    assert len(np.unique(cells, axis=0)) == 1200


def test_the_generator_lists_what_the_file_holds(generator, stored):
    listed = list(generator.utterances())
    assert [one["label"] for one in listed] == stored["label"].tolist()
    assert [one["language"] for one in listed] == stored["language"].tolist()
    assert [f"{one['accent']}+{one['variant']}" for one in listed] == stored["voice"].tolist()
    assert [one["speed"] for one in listed] == stored["speed"].tolist()
    assert [one["pitch"] for one in listed] == stored["pitch"].tolist()
    assert generator.WORDS["en"] == data.LEARNED_NAMES["English"].split()
    assert generator.WORDS["de"] == data.LEARNED_NAMES["German"].split()


@pytest.mark.parametrize("frequency", [200.0, 1000.0, 4000.0])
def test_a_pure_tone_lies_in_its_mel_band(frequency, generator):
    tone = np.sin(2 * np.pi * frequency * np.arange(8000) / 22050)
    silence = np.zeros(4000)
    found = generator.log_mel(np.concatenate([silence, tone, silence]))
    mel = 2595 * np.log10(1 + np.array([60.0, frequency, 8000.0]) / 700)
    expected = (mel[1] - mel[0]) / (mel[2] - mel[0]) * 33 - 1
    assert found.shape == (32, 40)
    assert (np.abs(found[:, 5:-5].argmax(axis=0) - expected) <= 1).all()
    assert found[:, 5:-5].max(axis=0).min() > 240, "the silence at both ends is trimmed"


def test_espeak_says_the_same_again(generator, stored):
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    version = subprocess.run(["espeak-ng", "--version"], check=True, capture_output=True, text=True).stdout
    if f": {SPOKEN_BY}" not in version:
        pytest.skip(f"the features were made by espeak-ng {SPOKEN_BY}, here is {version.split('Data')[0].strip()}")
    listed = list(generator.utterances())
    for row in (0, 437, 612, 1199):
        found = generator.log_mel(generator.speak(listed[row]))
        # rounding of the FFT may differ by CPU: one step of 0.24 dB at most
        assert np.abs(found.astype(int) - stored["log_mel"][row]).max() <= 1
