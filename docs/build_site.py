"""The documentation as HTML: `python docs/build_site.py [FOLDER]`, `build/docs` by default. A warning is an error.

The pages of this folder, and what is made of the code and of the results: a page of the API for each module, one for
each file of benchmark rows, the command line, the notebook, and the change log. Needs the extra `docs` and no network.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

import api_pages
import benchmark_pages
import command_pages
import notebook_pages

ROOT = Path(__file__).resolve().parents[1]
BESIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE")  # of the project, and pages or links of the site too
LINK = re.compile(r"\[([^\]]*)\]\(([^)#:]+)\)")
PAGES = (".md", ".py")  # of this folder; the others come from the four modules


def within(path: Path, text: str) -> str:
    """A page whose links stay on the site: notebooks and results are pages there; of other files the name is left."""

    def linked(match: re.Match[str]) -> str:
        place = (path.parent / match[2]).resolve()
        if place.is_relative_to(ROOT / "docs"):
            return match[0].replace(".ipynb)", ".md)")
        results = "../" * (len(path.relative_to(ROOT / "docs").parts) - 1) + "benchmarks/index.md"
        return f"[{match[1]}]({results})" if place.is_relative_to(ROOT / "benchmarks" / "results") else match[1]

    return LINK.sub(linked, text) if path.suffix == ".md" else text


def gather(folder: Path) -> Path:
    """The folder of all pages, written and made: what Sphinx reads."""
    source = folder / "source"
    shutil.rmtree(source, ignore_errors=True)
    for path in sorted((ROOT / "docs").rglob("*")):
        if path.is_file() and path.suffix in PAGES:
            target = source / path.relative_to(ROOT / "docs")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(within(path, path.read_text(encoding="utf-8")), encoding="utf-8")
    for name in BESIDE:
        shutil.copyfile(ROOT / name, source / name)
    api_pages.write(source / "api")
    benchmark_pages.write(source / "benchmarks")
    notebook_pages.write(source / "notebooks")
    command_pages.write(source / "command-line.md")
    return source


def build(folder: Path) -> int:
    """Gather, and build `folder/html`; the exit code of Sphinx."""
    from sphinx.cmd.build import build_main

    source = gather(folder)
    options = ["--fail-on-warning", "--keep-going", "--quiet", "--doctree-dir", str(folder / "doctrees")]
    return build_main([*options, str(source), str(folder / "html")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "docs")
    code = build(parser.parse_args().folder)
    sys.exit(code)


if __name__ == "__main__":
    main()
