"""The page of matches: what stands in it, that nothing hostile can run, what it refuses; in a browser where one is."""

import base64
import errno
import io
import json
import os
import re
import shutil
import subprocess
import wave
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast.files import FileError, MissingFileError
from crossmodal_fast.report import Items, _media, page_of, read_items, write_report

HOSTILE = [
    "<script>document.title = 'taken'</script>",
    "</p></article><img src=x onerror=\"document.title='taken'\">",
    "{{script}} {{media}} & 'quotes' \"double\"",
    "-->]]><svg onload=alert(1)>",
]
WORDS = ["dog", "rain", "bell", "ümlaut 犬"]
MATCHES = cmf.Matches(
    np.array([0, 0, 1, 1, 3, 3, 3]), np.array([0, 2, 2, 1, 3, 0, 1]), np.array([0.9, 0.5, 0.8, 0.7, -1.0, -2.0, -3.0])
)
PAIRS = [[0, 0], [1, 1]]  # query 0 hits, 1 finds it second, 3 not at all
RED = np.zeros((4, 3, 5, 3), np.uint8)
RED[..., 0] = 255
NOISE = np.random.default_rng(0).uniform(-1, 1, (4, 400))
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


class Parsed(HTMLParser):
    """Tags with their attributes, and the text by the class of the innermost element that has one."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self._open = [], [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "input", "img"):
            self._open.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        self.texts.append((self._open[-1] if self._open else ("", {}), data))

    def all(self, tag, kind=None):
        found = [attributes for name, attributes in self.tags if name == tag]
        return [one for one in found if kind is None or kind in one.get("class", "").split()]

    def inside(self, tag, kind=None):
        return [
            text
            for (name, attributes), text in self.texts
            if name == tag and (kind or "") in attributes.get("class", "")
        ]


def parsed(page):
    return Parsed(page.html.decode())


def media_of(page):
    (data,) = parsed(page).inside("script")[:1]
    return json.loads(data)


def decoded(uri, mime):
    head, _, data = uri.partition(",")
    assert head == f"data:{mime};base64"
    return base64.b64decode(data, validate=True)


# ---- what stands in it


def test_queries_matches_and_verdicts():
    page = page_of(MATCHES, Items(text=WORDS), Items(text=HOSTILE), pairs=PAIRS, title="one <b>")
    found = parsed(page)
    cards = found.all("article")
    assert [(card["data-row"], card["data-verdict"]) for card in cards] == [("0", "hit"), ("1", "miss"), ("3", "miss")]
    assert [float(card["data-score"]) for card in cards] == [0.9, 0.8, -1.0]
    assert found.inside("span", "verdict")[::1] == [
        "hit", "right", "wrong",
        "miss, first right one at rank 2", "wrong", "right",
        "miss, no right one among 3", "wrong", "wrong", "wrong",
    ]  # fmt: skip
    assert [one["data-verdict"] for one in found.all("li")] == ["right", "wrong", "wrong", "right", *["wrong"] * 3]
    texts = [WORDS[0], *(HOSTILE[c] for c in (0, 2)), WORDS[1], *(HOSTILE[c] for c in (2, 1)), WORDS[3]]
    assert found.inside("p", "text") == [*texts, *(HOSTILE[c] for c in (3, 0, 1))]
    assert found.inside("h1") == found.inside("title") == ["one <b>"]
    assert page.told == "3 queries with their matches; 1 of all 3 queries hits."
    assert page.told in found.inside("p")


def test_labels_say_what_is_right():
    own, other = np.array(["x", "y", "x", "z"]), np.array(["x", "y", "y", "x"])
    found = parsed(page_of(MATCHES, labels=(own, other)))
    expected = ["right" if own[r] == other[c] else "wrong" for r, c in zip(*MATCHES[:2], strict=True)]
    assert [one["data-verdict"] for one in found.all("li")] == expected
    assert page_of(MATCHES, labels=(own, other)).told.endswith("2 of all 3 queries hit.")


def test_where_nobody_knows_what_is_right():
    found = parsed(page_of(MATCHES))
    assert {one["data-verdict"] for one in found.all("li") + found.all("article")} == {""}
    assert any("hidden" in label for label in found.all("label"))
    assert not any("hidden" in label for label in parsed(page_of(MATCHES, pairs=PAIRS)).all("label"))


def test_what_is_left_out_is_told():
    matches = cmf.Matches(np.repeat(np.arange(9), 4), np.tile(np.arange(4), 9), np.tile([4.0, 3.0, 2.0, 1.0], 9))
    page = page_of(matches, rows=5, shown=3, pairs=[[8, 0]])
    assert len(parsed(page).all("article")) == 5
    assert len(parsed(page).all("li")) == 15
    assert page.told == (
        "5 of 9 queries, the first ones, with their matches; 4 were left out; of each at most the 3 best of up to 4 "
        "matches; 1 of all 9 queries hits."
    )
    long = parsed(page_of(MATCHES, Items(text=["x" * 5000] * 4))).inside("p", "text")
    assert long[0] == "x" * 2000 + "…"


def test_texts_that_are_no_unicode():
    assert parsed(page_of(MATCHES, Items(text=["\ud800a"] * 4))).inside("p", "text")[0] == "?a"


def test_no_matches_at_all():
    page = page_of(cmf.Matches(*np.zeros((3, 0), np.int64)), pairs=PAIRS)
    assert page.told == "0 queries with their matches; 0 of all 0 queries hit."
    assert parsed(page).all("article") == []


def test_pictures_and_sounds():
    from PIL import Image

    grey = np.linspace(0.0, 2.0, 4 * 400 * 200).reshape(4, 400, 200)
    page = page_of(MATCHES, Items(image=RED, audio=NOISE, rate=8000), Items(image=grey))
    found, media = parsed(page), media_of(page)
    pictures, sounds = found.all("img"), found.all("audio")
    assert [one["data-media"] for one in pictures] == [
        "iq0",
        "ig0",
        "ig2",
        "iq1",
        "ig2",
        "ig1",
        "iq3",
        "ig3",
        "ig0",
        "ig1",
    ]
    assert len(media) == 3 + 4 + 3  # each once, however often it is shown
    assert all(one["alt"] for one in pictures)
    assert all(one["aria-label"] and "controls" in one for one in sounds)
    with Image.open(io.BytesIO(decoded(media["iq0"], "image/png"))) as image:
        np.testing.assert_array_equal(np.asarray(image), RED[0])
    with Image.open(io.BytesIO(decoded(media["ig0"], "image/png"))) as image:
        pixels = np.asarray(image).astype(float)
    assert pixels.shape == (134, 67)
    np.testing.assert_allclose(pixels, (grey[0, ::3, ::3] - grey[0].min()) / np.ptp(grey[0, ::3, ::3]) * 255, atol=0.51)
    with wave.open(io.BytesIO(decoded(media["aq3"], "audio/wav"))) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getnframes()) == (8000, 1, 400)
        heard = np.frombuffer(sound.readframes(400), "<i2") / 32767
    np.testing.assert_allclose(heard, NOISE[3], atol=1 / 32767)


def test_the_page_loads_nothing_and_runs_nothing_foreign():
    page = page_of(MATCHES, Items(text=HOSTILE), Items(text=HOSTILE, image=RED), title=HOSTILE[0])
    found = parsed(page)
    assert [one.get("type") for one in found.all("script")] == ["application/json", None]
    for tag, attributes in found.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "svg"), tag
        assert not {name for name in attributes if name.startswith("on") or name in ("src", "srcset", "style")}, tag
        assert attributes.get("href", "#").startswith("#")
    policy = found.all("meta")[1]["content"]
    assert policy.startswith("default-src 'none'; img-src data:; media-src data:; ")
    assert "unsafe" not in policy
    assert not re.search(r"https?://", page.html.decode())


# ---- tables and files


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """q.csv with picture files, g.json with sound files, beside the files, and a secret outside."""
    from PIL import Image

    folder = tmp_path / "data"
    folder.mkdir()
    for row in range(4):
        Image.fromarray(np.full((300, 200, 3), 40 * row, np.uint8)).save(folder / f"{row}.jpg")
        (folder / f"{row}.wav").write_bytes(_media.wav("sound", NOISE[row], 8000))
    (folder / "q.csv").write_text("id,image,text\n" + "".join(f'{row},{row}.jpg,"a, {row}"\n' for row in range(4)))
    (folder / "g.json").write_text(json.dumps([{"audio": f"{row}.wav", "text": None} for row in range(4)]))
    (tmp_path / "secret.wav").write_bytes(_media.wav("sound", NOISE[0], 8000))
    monkeypatch.chdir(folder)
    return folder


def test_tables_of_files(tables):
    page = page_of(MATCHES, read_items("q.csv"), read_items("g.json"))
    media = media_of(page)
    assert decoded(media["ag2"], "audio/wav") == (tables / "2.wav").read_bytes()
    from PIL import Image

    with Image.open(io.BytesIO(decoded(media["iq1"], "image/png"))) as image:
        assert image.size == (107, 160)
        assert abs(np.asarray(image).astype(int) - 40).max() <= 2
    assert parsed(page).inside("p", "text") == ["a, 0", "a, 1", "a, 3"]


def test_photographs_are_jpeg_and_what_is_clear_stays_so(tables):
    from PIL import Image

    colours = np.random.default_rng(0).integers(0, 256, (90, 60, 4), dtype=np.uint8)
    Image.fromarray(colours[..., :3]).save("0.png")
    Image.fromarray(colours).save("1.png")
    media = media_of(page_of(MATCHES, Items(image=["0.png", tables / "1.png", "", None])))
    assert list(media) == ["iq0", "iq1"]
    with Image.open(io.BytesIO(decoded(media["iq0"], "image/jpeg"))) as image:
        assert image.size == (60, 90)
    with Image.open(io.BytesIO(decoded(media["iq1"], "image/png"))) as image:
        np.testing.assert_array_equal(np.asarray(image), colours)


def test_a_table_of_arrays(tables):
    np.savez("t.npz", text=np.array(WORDS), image=RED, audio=NOISE, rate=22050, other=np.zeros(3))
    items = read_items("t.npz")
    assert (len(items), items.rate, items.text) == (4, 22050, WORDS)
    Path("t.json").write_text(json.dumps({"text": WORDS, "more": 1}))
    assert read_items("t.json").text == WORDS
    assert len(media_of(page_of(MATCHES, items, items))) == 3 + 3 + 4 + 4


@pytest.mark.parametrize("value", ["../secret.wav", "link.wav", "sub/../../secret.wav", "/etc/passwd", "zero\0.wav"])
def test_paths_stay_in_their_folder(tables, value):
    (tables / "link.wav").symlink_to("../secret.wav")
    Path("g.json").write_text(json.dumps({"audio": [value] * 4}))
    with pytest.raises(FileError, match=r"audio of gallery row 0 must lie in the folder '.', got "):
        page_of(MATCHES, None, read_items("g.json"))


def test_another_folder_may_be_named(tables):
    (tables / "sub").mkdir()
    Path("sub/g.json").write_text(json.dumps({"audio": ["0.wav"] * 4}))
    with pytest.raises(MissingFileError, match=r"audio of gallery row 0 must be an existing file, got 'sub.0.wav'"):
        page_of(MATCHES, None, read_items("sub/g.json"))
    assert media_of(page_of(MATCHES, None, read_items("sub/g.json", ".")))


def test_what_is_too_large_is_named_in_its_place(tables, monkeypatch):
    monkeypatch.setattr(_media, "SOUND_BYTES", 500)
    page = page_of(MATCHES, None, read_items("g.json"))
    assert page.told == "3 queries with their matches; 4 pictures or sounds too large were left out."
    assert parsed(page).inside("p", "left")[0] == "0.wav of 0.0 MB left out: at most 0.0 MB"
    left = parsed(page_of(MATCHES, Items(audio=NOISE))).inside("p", "left")
    assert left[0] == "audio of 0.0 MB left out: at most 0.0 MB"
    monkeypatch.setattr(_media, "SOUND_BYTES", 5000)
    monkeypatch.setattr(_media, "PAGE_BYTES", 2000)
    page = page_of(MATCHES, None, read_items("g.json"))
    assert len(media_of(page)) == 2
    assert "audio left out: the page holds 0 MiB of media" in parsed(page).inside("p", "left")


def test_without_pillow_small_pictures_go_in_as_they_are(tables, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    page = page_of(MATCHES, read_items("q.csv"))
    assert decoded(media_of(page)["iq0"], "image/jpeg") == (tables / "0.jpg").read_bytes()
    monkeypatch.setattr(_media, "PICTURE_BYTES", 10)
    assert "install Pillow to show it" in parsed(page_of(MATCHES, read_items("q.csv"))).inside("p", "left")[0]


def test_whole_or_not_at_all(tables, monkeypatch):
    before = sorted(tables.iterdir())
    Path("3.jpg").write_bytes(b"no picture")
    with pytest.raises(FileError) as caught:
        write_report("page.html", MATCHES, read_items("q.csv"))
    assert str(caught.value).startswith("'3.jpg' must be a picture that can be read, got other or damaged content (")
    Path("3.wav").write_bytes(b"no sound")
    with pytest.raises(FileError, match=r"'3.wav' must be a file of the type audio/wav, .*, got other content"):
        write_report("page.html", MATCHES, None, read_items("g.json"))

    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(FileError, match="was not written"):
            write_report("page.html", MATCHES)
    assert sorted(tables.iterdir()) == before
    assert write_report("page.html", MATCHES) == "3 queries with their matches."
    assert Path("page.html").read_bytes() == page_of(MATCHES).html
    with pytest.raises(FileError, match=r"must end in .html or .htm"):
        write_report("page.txt", MATCHES)


# ---- refused

BAD_TABLES = {
    "cells.csv": ("text,image\na\n", "'cells.csv' must have 2 cells in every row, got 1 in row 1"),
    "names.csv": ("a,b\n1,2\n", "'names.csv' must have a column text, image or audio, got a, b"),
    "none.csv": ("text\n", "'none.csv' must have columns of one length, at least 1, got {'text': 0}"),
    "quote.csv": ('text\n"a\n', "'quote.csv' must be a whole .csv file, got other or damaged content ("),
    "half.json": ('{"text": [', "'half.json' must be a whole .json file, got other or damaged content ("),
    "number.json": ("3", "'number.json' must be a list of objects, or an object of lists, got 3"),
    "column.json": ('{"text": [1, 2]}', "column 'text' of 'column.json' must be a list of texts, got [1, 2]"),
    "long.json": ('{"text": ["a"], "audio": []}', "'long.json' must have columns of one length, at least 1, got"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, sentence = BAD_TABLES[name]
    Path(name).write_text(content)
    with pytest.raises(FileError) as caught:
        read_items(name)
    assert str(caught.value).startswith(sentence)


def test_bad_arrays_of_a_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("t.npz", image=np.zeros((4, 3)))
    with pytest.raises(FileError) as caught:
        read_items("t.npz")
    assert str(caught.value) == (
        "column 'image' of 't.npz' must hold paths (n,) or arrays (n, h, w) or (n, h, w, c), got shape (4, 3), float64"
    )


LARGE = cmf.Matches([5], [5], [1.0])
BAD = {
    "lengths": (
        lambda: Items(text=["a"], image=[]),
        "text, image and audio must be of one length, at least one of them, got",
    ),
    "text": (lambda: Items(text="abc"), "text must be a sequence with a value for each row, got 'abc'"),
    "image": (lambda: Items(image=3), "image must be a sequence with a value for each row, got 3"),
    "fast": (lambda: Items(text=["a"], rate=10**10), "rate must be at most 384000 samples per second, got 10000000000"),
    "no-items": (lambda: page_of(MATCHES, ["a"]), "queries must be Items or None, got ['a']"),
    "no-matches": (lambda: page_of([1, 2]), "matches must be Matches, as match gives them, got [1, 2]"),
    "rate": (lambda: Items(text=["a"], rate=0), "rate must be at least 1, got 0"),
    "items": (
        lambda: page_of(LARGE, Items(text=["a"])),
        "queries must have a row for each match, got 1 and a match of row 5",
    ),
    "labels": (
        lambda: page_of(LARGE, labels=(["a"], ["b"])),
        "labels[0] must have one for each row, got 1 and a match of row 5",
    ),
    "one-label": (
        lambda: page_of(LARGE, labels=["a"]),
        "labels must be two arrays, of queries and of gallery, got ['a']",
    ),
    "both": (lambda: page_of(LARGE, labels=1, pairs=1), "labels and pairs must not be given together, got both"),
    "pairs": (lambda: page_of(LARGE, pairs=[1.5]), "pairs must be whole numbers (r, 2), got shape (1,), float64"),
    "order": (
        lambda: page_of(cmf.Matches([1, 0], [0, 0], [1, 1])),
        "matches.rows must ascend, as match gives them, got a smaller one after a larger one",
    ),
    "shape": (
        lambda: page_of(cmf.Matches([1], [0, 0], [1, 1])),
        "matches.rows must be whole numbers from 0, one for each score, got shape (1,), int64",
    ),
    "rows": (lambda: page_of(MATCHES, rows=0), "rows must be at least 1, got 0"),
    "pixels": (
        lambda: page_of(MATCHES, Items(image=np.zeros((4, 3)))),
        "image of query row 0 must be numbers (h, w) or (h, w, c), got shape (3,), float64",
    ),
    "channels": (
        lambda: page_of(MATCHES, Items(image=np.zeros((4, 3, 3, 2)))),
        "image of query row 0 must have 1, 3 or 4 channels, got 2",
    ),
    "nan": (
        lambda: page_of(MATCHES, Items(image=np.full((4, 3, 3), np.nan))),
        "image of query row 0 must be finite, got nan",
    ),
    "samples": (
        lambda: page_of(MATCHES, Items(audio=np.zeros((4, 3, 3)))),
        "audio of query row 0 must be numbers (samples,), got shape (3, 3), float64",
    ),
    "inf": (
        lambda: page_of(MATCHES, Items(audio=np.full((4, 9), np.inf))),
        "audio of query row 0 must be finite, got inf",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments(case):
    call, sentence = BAD[case]
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert str(caught.value).startswith(sentence)


# ---- in a browser


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser is installed: none of {', '.join(BROWSERS)}")
    return found


def dumped(browser, path, state, profile):
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
        "--virtual-time-budget=2000", "--dump-dom", f"{path.as_uri()}#{state}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    if done.returncode:
        pytest.skip(f"{browser} does not run here: {done.stderr[-200:]}")
    return done.stdout


PLANTED = "<script>document.title = 'taken'</script>"
KEYS = """<script>
const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
const seen = [];
for (const key of ["j", "j", "j", "k", "m", "j", "d", "/"]) { press(key); seen.push(document.activeElement.id); }
const end = [document.activeElement.name, document.documentElement.dataset.theme, location.hash];
document.title = [...seen, ...end].join(" ");
</script>"""


def described_page():
    found = page_of(MATCHES, Items(text=HOSTILE, image=RED), Items(text=HOSTILE, audio=NOISE), pairs=PAIRS)
    return found.html.decode()


def test_in_a_browser(browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(described_page().replace("</body>", f"{PLANTED}</body>"), encoding="utf-8")
    found = Parsed(dumped(browser, path, "misses=1&sort=low", tmp_path / "profile"))
    assert found.tags[0][1]["data-ready"] == "1"  # the script ran to its end under the page's own policy
    assert found.inside("title") == ["Matches"]  # neither the texts nor what was planted ran
    assert [(card["data-row"], "hidden" in card) for card in found.all("article")] == [
        ("3", False), ("1", False), ("0", True),
    ]  # fmt: skip
    assert "2 of 3 queries on this page" in found.inside("p")
    assert all(one["src"].startswith("data:image/png;base64,") for one in found.all("img"))
    assert all(one["src"].startswith("data:audio/wav;base64,") for one in found.all("audio"))


def test_keys_in_a_browser(browser, tmp_path):
    """The policy is taken out, so that the test may press keys: what is planted then does run."""
    path, text = tmp_path / "page.html", described_page()
    text = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", text).replace("</body>", f"{KEYS}</body>")
    path.write_text(text, encoding="utf-8")
    (title,) = Parsed(dumped(browser, path, "", tmp_path / "profile")).inside("title")
    first, second, third = (f"query-{row}" for row in (0, 1, 3))
    walked = [first, second, third, second, second, third, third, ""]
    theme = title.split(" ")[-2]
    assert title.split(" ")[:-3] == walked
    assert title.split(" ")[-3:] == ["search", theme, "#misses=1"]
    assert theme in ("light", "dark")
