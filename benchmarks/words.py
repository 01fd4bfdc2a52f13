"""How rows are named and numbers are written, in tables and pictures."""


def column(row):
    return " ".join(filter(None, [row["contender"], row["backend"]]))


def title(operation, data, m, n, d, k, maps):
    if not n:
        return f"{operation}, {data}"
    if operation == "transfer":
        shape = f"{m:,} rows, {d:,} to {n:,} features" + (f", {maps:,} maps" if maps else "")
    else:
        shape = " x ".join(f"{size:,}" for size in (m, n, d) if size) + (f", k = {k}" if k else "")
    return f"`{operation}` {shape}" + ("" if data == "normal" else f", {data}")


def milliseconds(value):
    return f"{value:,.0f} ms" if value >= 10 else f"{value:.2g} ms"


def times(ratio):
    text = f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.2g}x"
    return f"**{text}**" if ratio < 1 else text


def share(value):
    return "" if value is None else f"{value:.0%}"


def megabytes(value):
    return "" if value is None else f"{value / 1e6:,.0f} MB" if value >= 1e7 else f"{value / 1e6:.1f} MB"


def plain(value, form):
    return "" if value is None else format(value, form)
