"""What is installed, and what setup.py allows, against advisories that were looked up: the audit that needs no network.

`make audit` asks the service of pip-audit for what is not in this list, where it can be reached.
"""

from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

# library: {first version without it: advisory}. Looked up in November 2026: PYSEC in pypa/advisory-database, the others
# in the threads of projects that raised their versions for them.
ADVISORIES = {
    "numpy": {"1.19.0": "PYSEC-2021-857, CVE-2021-41496"},
    "scipy": {"1.8.0": "PYSEC-2023-114, CVE-2023-29824, disputed"},
    "pyarrow": {"14.0.1": "PYSEC-2023-238, CVE-2023-47248, GHSA-5wvp-7f3h-6wmm: reading Parquet runs code"},
    "scikit-learn": {"1.5.0": "CVE-2024-5206"},
    "dask": {"2024.8.3": "CVE-2024-10096: up to 2024.8.2", "2021.10.0": "PYSEC-2021-387, CVE-2021-42343"},
    "distributed": {"2021.10.0": "PYSEC-2021-871, PYSEC-2021-872, CVE-2021-42343"},
    "pillow": {
        "11.3.0": "GHSA-xg8h-j46f-w952, CVE-2025-48379, of 11.2 alone",
        "10.3.0": "GHSA-44wm-f244-xhp3, CVE-2024-28219",
        "10.2.0": "GHSA-3f63-hfp8-52jq, CVE-2023-50447",
        "10.0.1": "CVE-2023-4863",
        "10.0.0": "PYSEC-2023-227, CVE-2023-44271",
    },
    "torch": {"2.10.0": "CVE-2026-24747", "2.6.0": "GHSA-53q9-r3pm-6pq6, CVE-2025-32434"},
    "keras": {"3.11.0": "GHSA-c9rc-mg46-23w3, CVE-2025-8747", "3.9.0": "GHSA-48g7-3x6r-xfhp, CVE-2025-1550"},
    "tornado": {"6.5.5": "GHSA-qjxf-f2mg-c6mc", "6.5.0": "GHSA-7cx3-6m66-7c5m, CVE-2025-47287"},
    "setuptools": {"78.1.1": "GHSA-5rjg-fvgr-3xxf, CVE-2025-47273"},
}
ALLOWED = {  # what setup.py lets in, and so may be installed, though an advisory is open, and why
    ("torch", "2.6.0"): "of torch.load, which is never called here: encoders take models that the caller has loaded",
    ("torch", "2.10.0"): "of torch.load as well",
    (
        "dask",
        "2024.8.3",
    ): "a scheduler runs what its clients send: docs/distributed.md has them on a network of their own",
    ("setuptools", "78.1.1"): "of easy_install, which builds do not use",
}


def least(name):
    """The lowest version that setup.py asks for, None where it does not name the library."""
    asked = [one for one in map(Requirement, metadata.requires("crossmodal-fast")) if one.name == name]
    lowest = [Version(part.version) for one in asked for part in one.specifier if part.operator == ">="]
    return min(lowest, default=None)


def open_at(name, version):
    """Versions that mend what is open at one."""
    return [mended for mended in ADVISORIES[name] if version < Version(mended)]


@pytest.mark.parametrize("name", ADVISORIES)
def test_what_is_installed_has_none_that_matters_here(name):
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed")
    found = [mended for mended in open_at(name, Version(version)) if (name, mended) not in ALLOWED]
    assert not found, f"{name} {version}: {[ADVISORIES[name][mended] for mended in found]}"


@pytest.mark.parametrize("name", ADVISORIES)
def test_what_may_be_installed_has_none_that_matters_here(name):
    lowest = least(name)
    if lowest is None:
        pytest.skip(f"setup.py does not name {name}")
    found = [mended for mended in open_at(name, lowest) if (name, mended) not in ALLOWED]
    assert not found, f"{name}>={lowest}: {[ADVISORIES[name][mended] for mended in found]}"


def test_each_exception_is_one():
    for name, mended in ALLOWED:
        assert mended in open_at(name, least(name)), f"{name} {mended} is open no more"


def test_old_versions_are_found():
    assert open_at("pyarrow", Version("14.0.0")) == ["14.0.1"]
    assert open_at("pillow", Version("10.2.0")) == ["11.3.0", "10.3.0"]
    assert open_at("pyarrow", Version("17")) == []
