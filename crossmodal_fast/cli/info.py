"""`crossmodal-fast info`."""

import json
from typing import Annotated, Any

import typer  # noqa: TID253 - only the command line imports this module

from ._environment import environment

WIDTH = 26  # a column more than the longest name
MIB = 1 << 20


def info(
    as_json: Annotated[bool, typer.Option("--json", help="The same as one JSON object.")] = False,
) -> None:
    """Show versions, machine, backends, cache and settings, as text to paste into a report."""
    found = environment()
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for name, value in _written(found):
        typer.echo(f"{name:<{WIDTH}}{value}")


def _written(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The report as lines: a name, what it is."""
    cores, memory, simd, cache = found["cores"], found["memory_gib"], found["simd"], found["cache"]
    limits = [f"{cores[name]} by {name}" for name in ("affinity", "quota") if cores[name] is not None]
    lines = [("system", found["system"]), ("python", found["python"]), *found["packages"].items()]
    lines += [("processor", found["processor"]), ("cores", ", ".join([f"{cores['machine']} in all", *limits]))]
    lines += [("threads used", str(cores["used"]))]
    if simd:
        lines += [
            ("simd", f"{simd['kernels']}, {simd['bits']} bits: {' '.join(simd['features']) or 'nothing special'}")
        ]
    lines += [
        ("memory", ", ".join(f"{size} GiB {name}" for name, size in memory.items()) if memory else "unknown here")
    ]
    lines += [
        ("blas", f"{one['library']} {one['version']} for {one['kernels']}, {one['threads']} threads")
        for one in found["blas"]
    ]
    lines += [(f"backend {name}", state) for name, state in found["backends"].items()]
    lines += [("gpu", _gpu(one)) for one in found["gpus"]] or [("gpu", "none that a driver names")]
    if cache:
        lines += [
            ("cache folder", str(cache["folder"])),
            ("cache", f"{cache['state']}, {cache['kernels']} kernels in it"),
        ]
    settings = found["config"] | {"max_bytes": f"{found['config']['max_bytes'] / MIB:g} MiB"}
    lines += [(f"config {name}", str(value)) for name, value in settings.items()]
    return lines + [(name, value or "set to nothing") for name, value in found["variables"].items()]


def _gpu(one: dict[str, Any]) -> str:
    more = [f"{name.replace('_', ' ')} {value}" for name, value in one.items() if name != "name" and value is not None]
    return ", ".join([one["name"], *more])
