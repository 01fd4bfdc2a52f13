"""Notebooks without Jupyter: `python docs/notebook_pages.py` runs them and writes down what their cells say.

A cell's last expression is its answer: its text, or a picture where it is a figure of matplotlib. The test runs the
cells and compares the texts; the site shows what is stored.
"""

import ast
import base64
import contextlib
import io
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "notebooks"
Cell = dict[str, Any]


def read(path: Path) -> dict[str, Any]:
    """A notebook as its JSON has it."""
    return json.loads(path.read_text(encoding="utf-8"))


def run(notebook: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Outputs of all code cells, run one after another in one namespace."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    return [_outputs("".join(cell["source"]), namespace) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def _outputs(code: str, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    body, answer, printed = ast.parse(code).body, None, io.StringIO()
    with contextlib.redirect_stdout(printed):
        last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), "notebook", "exec"), namespace)
        if last is not None:
            answer = eval(compile(ast.Expression(last.value), "notebook", "eval"), namespace)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": printed.getvalue().splitlines(True)})
    if hasattr(answer, "savefig"):
        picture = io.BytesIO()
        answer.savefig(picture, format="png", dpi=80, metadata={"Software": None})
        data = {"image/png": base64.b64encode(picture.getvalue()).decode()}
        outputs.append({"output_type": "display_data", "metadata": {}, "data": data})
    elif answer is not None:
        data = {"text/plain": repr(answer).splitlines(True)}
        outputs.append({"output_type": "execute_result", "metadata": {}, "execution_count": None, "data": data})
    return outputs


def said(outputs: list[dict[str, Any]]) -> list[str]:
    """The texts of outputs, and the kind of those that are pictures."""
    return ["".join(each.get("text") or each["data"].get("text/plain") or ["picture"]) for each in outputs]


def page(notebook: dict[str, Any], name: str, folder: Path) -> str:
    """Markdown of a notebook; its pictures are written beside it."""
    parts = []
    for number, cell in enumerate(notebook["cells"]):
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            picture = output.get("data", {}).get("image/png")
            if picture is None:
                parts.append(f"```text\n{said([output])[0].rstrip()}\n```")
            else:
                (folder / f"{name}-{number}.png").write_bytes(base64.b64decode(picture))
                parts.append(f"![What the cell draws]({name}-{number}.png)")
    return "\n\n".join(parts) + "\n"


def write(folder: Path) -> None:
    """A page of Markdown for each notebook."""
    folder.mkdir(parents=True)
    for path in sorted(FOLDER.glob("*.ipynb")):
        (folder / f"{path.stem}.md").write_text(page(read(path), path.stem, folder), encoding="utf-8")


def main() -> None:
    for path in sorted(FOLDER.glob("*.ipynb")):
        notebook = read(path)
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        for number, (cell, outputs) in enumerate(zip(cells, run(notebook), strict=True), start=1):
            cell["outputs"], cell["execution_count"] = outputs, number
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
