"""The progress bar: on a terminal, with rich, for what takes long; gone afterwards."""

import importlib.util
import io
import sys
import time

import pytest

from crossmodal_fast import _progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, stream, seconds, steps=((1, 2),)):
    monkeypatch.setattr(_progress, "PATIENCE_S", 0.05)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with _progress.bar("matching") as progress:
        for done, total in steps:
            progress(done, total)
        time.sleep(seconds)
    return stream.getvalue()


def test_a_bar_on_a_terminal(monkeypatch):
    told = shown(monkeypatch, Terminal(), 0.4)
    assert "matching" in told
    assert "50%" in told


def test_a_bar_without_steps(monkeypatch):
    assert "matching" in shown(monkeypatch, Terminal(), 0.4, ())


def test_no_bar_for_what_is_quick(monkeypatch):
    assert "matching" not in shown(monkeypatch, Terminal(), 0)


def test_no_bar_off_a_terminal(monkeypatch):
    assert shown(monkeypatch, io.StringIO(), 0.2) == ""


def test_no_bar_without_rich(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert shown(monkeypatch, Terminal(), 0.2) == ""


def test_the_bar_is_gone_after_an_error(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(_progress, "PATIENCE_S", 0.05)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")

    def search():
        with _progress.bar("matching"):
            time.sleep(0.3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search()
    assert stream.getvalue().endswith("\x1b[2K")  # the line is erased
    assert "\x1b[?25h" in stream.getvalue()  # the cursor is back
