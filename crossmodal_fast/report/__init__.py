"""Matches as one page to look through and to listen to: pictures, sounds and texts beside scores, in any browser.

`page.html`, `query.html`, `match.html`, `style.css` and `script.js` are how it looks and works, `_items` reads what the
rows are, `_media` makes thumbnails and sounds of it, `_page` fills the page. The page loads nothing from elsewhere, and
its policy lets no script run but its own.
"""

from ._items import Items, read_items
from ._page import Page, page_of, write_report

__all__ = ["Items", "Page", "page_of", "read_items", "write_report"]
