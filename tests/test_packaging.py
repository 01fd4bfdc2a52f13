"""The promised ways of installing give the same package: wheel, sdist, editable install, tests in the checkout.

A CUDA file is planted in the copy that is built, so that the shipping of `.cu` is tested before the first kernel.
Not promised: a wheel installed in the environment that runs pytest in the checkout (the folder shadows the package).
"""

import email
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import crossmodal_fast
from project import ROOT, project_files

PLANTED = "kernels/topk/gpu_probe.cu"

PROBE = """
import importlib, json, sys
import numpy as np
import crossmodal_fast as cmf
kernel = importlib.import_module("crossmodal_fast.kernels.topk.cpu_numpy")
rows = np.arange(12.0).reshape(4, 3)
found = cmf.topk(rows[:2], rows, 2, backend="numpy")
print(json.dumps({
    "files": [cmf.__file__, kernel.__file__],
    "names": sorted(cmf.__all__),
    "distances": found.distances.tolist(),
    "indices": found.indices.tolist(),
    "folder_name": "kernels" in sys.modules,
}))
"""


def run(*command, cwd, **environment):
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folders `tree` (wheel from the tree) and `sdist` (the sdist and the wheel from it)."""
    base = tmp_path_factory.mktemp("built")
    copy = base / "copy"
    for path in project_files():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, copy / path)
    (copy / PLANTED).write_text("// planted\n", encoding="utf-8")
    build = [sys.executable, "-m", "build", "--no-isolation"]
    run(*build, "--outdir", base / "sdist", copy, cwd=base)
    shutil.rmtree(copy / "build", ignore_errors=True)
    run(*build, "--wheel", "--outdir", base / "tree", copy, cwd=base)
    return base


def wheel(built, origin):
    (path,) = (built / origin).glob("crossmodal_fast-*.whl")
    return path


def content(built, origin):
    with zipfile.ZipFile(wheel(built, origin)) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def expected_content():
    """Every file of the checkout's two code folders, where the wheel has to hold it."""
    for path in [*project_files(), Path(PLANTED)]:
        if path.parts[0] in ("crossmodal_fast", "kernels"):
            yield path.as_posix() if path.parts[0] == "crossmodal_fast" else f"crossmodal_fast/{path.as_posix()}"


@pytest.mark.parametrize("origin", ["tree", "sdist"])
def test_wheel_holds_the_whole_package_and_nothing_else(built, origin):
    names = content(built, origin)
    assert names == set(expected_content())
    assert f"crossmodal_fast/{PLANTED}" in names
    assert "crossmodal_fast/kernels/topk/cpu_numpy.py" in names
    assert "crossmodal_fast/py.typed" in names
    assert "crossmodal_fast/demo/spoken_digits.npz" in names
    assert {name.partition("/")[0] for name in names} == {"crossmodal_fast"}


def test_sdist_holds_the_tests_and_the_licence(built):
    (path,) = (built / "sdist").glob("crossmodal_fast-*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    source = {path.as_posix() for path in project_files() if path.parts[0] in ("crossmodal_fast", "kernels", "tests")}
    assert names >= source, source - names
    assert names >= {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "pyproject.toml", "setup.py", PLANTED}


def metadata(built, name):
    with zipfile.ZipFile(wheel(built, "tree")) as archive:
        (member,) = (path for path in archive.namelist() if path.endswith(f".dist-info/{name}"))
        return archive.read(member).decode("utf-8")


def test_metadata_says_what_the_package_is(built):
    fields = email.message_from_string(metadata(built, "METADATA"))
    assert fields["Name"] == "crossmodal-fast"
    assert fields["Version"] == crossmodal_fast.__version__
    assert f"## {fields['Version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert fields["License-Expression"] == "Apache-2.0"
    assert fields["Requires-Python"] == ">=3.11"
    assert set(fields.get_all("Provides-Extra")) == {
        "bench", "bf16", "cli", "cuda12", "cuda13", "dask", "demo", "docs", "encoders", "peers",
        "plot", "sklearn", "stores", "test", "torch",
    }  # fmt: skip
    assert "crossmodal-fast = crossmodal_fast.cli:main" in metadata(built, "entry_points.txt")


def test_the_test_extra_needs_neither_gpu_nor_peers(built):
    required = email.message_from_string(metadata(built, "METADATA")).get_all("Requires-Dist")
    tested = [line for line in required if 'extra == "test"' in line]
    assert any(line.startswith("pytest") for line in tested)
    assert not [line for line in tested if line.startswith(("torch", "faiss", "cupy"))]


def probed(cwd, **environment):
    return json.loads(run(sys.executable, "-W", "error", "-c", PROBE, cwd=cwd, **environment))


@pytest.fixture(scope="module")
def editable(tmp_path_factory):
    return probed(tmp_path_factory.mktemp("elsewhere"))


def test_editable_install_uses_the_checkout(editable):
    assert editable["files"] == [
        str(ROOT / "crossmodal_fast" / "__init__.py"),
        str(ROOT / "kernels" / "topk" / "cpu_numpy.py"),
    ]
    assert editable["indices"] == [[0, 1], [1, 0]]
    assert not editable["folder_name"]


@pytest.mark.parametrize("origin", ["tree", "sdist"])
def test_installed_wheel_equals_editable_install(built, origin, editable, tmp_path):
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    run(*install, "--target", tmp_path / "site", wheel(built, origin), cwd=tmp_path)
    assert not (tmp_path / "site" / "kernels").exists()
    installed = probed(tmp_path, PYTHONPATH=str(tmp_path / "site"))
    package = tmp_path / "site" / "crossmodal_fast"
    assert installed.pop("files") == [str(package / "__init__.py"), str(package / "kernels" / "topk" / "cpu_numpy.py")]
    assert installed == {name: value for name, value in editable.items() if name != "files"}


@pytest.mark.heavy
@pytest.mark.parametrize("origin", ["tree", "sdist"])
def test_a_new_environment_takes_the_wheel_and_lets_it_go(built, origin, editable, tmp_path):
    venv.create(tmp_path / "new", with_pip=True, symlinks=sys.platform != "win32")
    names = {"base": str(tmp_path / "new"), "platbase": str(tmp_path / "new")}
    site, scripts = (Path(sysconfig.get_path(kind, "venv", vars=names)) for kind in ("purelib", "scripts"))
    python = scripts / Path(sys.executable).name
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")  # no network
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel(built, origin), cwd=tmp_path)
    found = json.loads(run(python, "-W", "error", "-c", PROBE, cwd=tmp_path))
    assert found["files"][0] == str(site / "crossmodal_fast" / "__init__.py")
    assert found["indices"] == editable["indices"]
    told = json.loads(run(scripts / "crossmodal-fast", "info", "--json", cwd=tmp_path))
    assert told["packages"]["crossmodal-fast"] == crossmodal_fast.__version__
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "crossmodal-fast", cwd=tmp_path)
    left = [path for path in site.glob("crossmodal*") if any(each.is_file() for each in path.rglob("*.py"))]
    assert left == []


def test_checkout_equals_editable_install(editable):
    assert probed(ROOT) == editable  # what `python -m pytest` sees: the checkout comes first on the path
    assert importlib.util.find_spec("crossmodal_fast").origin == editable["files"][0]
    assert importlib.util.find_spec("crossmodal_fast.kernels.topk.cpu_numpy").origin == editable["files"][1]
