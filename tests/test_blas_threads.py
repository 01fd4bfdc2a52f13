"""The threads of BLAS: whose libraries are looked up when they may have changed."""

import sys

from threadpoolctl import ThreadpoolController

from crossmodal_fast import _threads


def test_libraries_are_looked_up_again_once_more_modules_are_loaded(monkeypatch):
    asked, select = [], ThreadpoolController.select
    monkeypatch.setattr(ThreadpoolController, "select", lambda *a, **k: asked.append(1) or select(*a, **k))
    monkeypatch.setattr(_threads, "_known", (0, []))
    for _ in range(3):
        with _threads.blas_threads(1):
            pass
    assert len(asked) == 1
    monkeypatch.setitem(sys.modules, "a_library_with_a_blas_of_its_own", sys)
    with _threads.blas_threads(1):
        pass
    assert len(asked) == 2
