"""The project's own files: what a clone holds, changed or not yet added files included."""

import ast
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MADE_BY_COMMANDS = {
    "build",
    "demo-output",
    "dist",
    "example-output",
    "__pycache__",
}  # for trees without git, such as an unpacked sdist


def project_files() -> list[Path]:
    """Paths relative to the root, sorted."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        return sorted(Path(name) for name in set(listed.split("\0")) if (ROOT / name).is_file())
    return sorted(
        path.relative_to(ROOT)
        for path in ROOT.rglob("*")
        if path.is_file() and not any(made_by_command(part) for part in path.relative_to(ROOT).parts)
    )


def made_by_command(name: str) -> bool:
    return name in MADE_BY_COMMANDS or name.endswith(".egg-info") or (name.startswith(".") and name != ".ci")


def extras() -> set[str]:
    """Names of the extras in setup.py."""
    found: set[str] = set()
    for node in ast.parse((ROOT / "setup.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).startswith("EXTRAS"):
            target = node.targets[0]
            names = [target.slice] if isinstance(target, ast.Subscript) else node.value.keys
            found |= {ast.literal_eval(name) for name in names}
    return found
