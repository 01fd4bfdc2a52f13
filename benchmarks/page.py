"""A page of HTML that needs nothing beside it, from Markdown and its pictures: for `report`."""

import re
from html import escape

IMAGE = re.compile(r'<img src="([^"]*)" alt="([^"]*)" ?/?>')
STYLE = """\
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 84rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: 13px; margin: 1rem 0; }
td, th { border-bottom: 1px solid #ddd; padding: .2rem .6rem; white-space: nowrap; }
tr:hover td { background: #f4f6fa; }
svg { max-width: 100%; height: auto; }
figcaption { color: #555; }
"""


def html(markdown, pictures):
    """`pictures` maps the file names that the Markdown shows to SVG."""
    from markdown_it import MarkdownIt

    body = IMAGE.sub(
        lambda found: drawn(*found.groups(), pictures),
        MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown),  # reasons may have a < in them
    )
    title = escape(markdown.partition("\n")[0].lstrip("# "))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def drawn(name, says, pictures):
    """The picture itself; ids of its parts are made its own, so that two on a page do not take each other's."""
    svg = pictures[name]
    svg = svg[svg.index("<svg") :]
    own = name.removesuffix(".svg")
    svg = re.sub(r'(id="|"#|url\(#)', rf"\g<1>{own}-", svg)
    return f"<figure>{svg}<figcaption>{says}</figcaption></figure>"
