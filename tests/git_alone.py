"""Git in the folder of a test: not in the clone around it, by its hooks, or by the settings of whoever runs it."""

import os


def alone(monkeypatch, folder):
    """No settings but the folder's own; a hook that runs the tests names its clone in GIT_DIR and others."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(folder.parent))
