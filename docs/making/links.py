"""
Checks the links of what was built: pages of the guide and of the API, which are made by
different programs and link to each other::

    python -m docs.making.links docs/_build/html

Links to other sites are left alone.
"""

from __future__ import annotations

import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """
    One page.

    @ivar links: where it leads, as it stands there.
    @ivar anchors: the places in it that can be linked to.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """
        See L{HTMLParser}.
        """
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)
            elif name in ("href", "src"):
                self.links.add(value)


@cache
def page(path: Path) -> Page:
    """
    The page in a file.
    """
    return Page(path.read_text(encoding="utf-8"))


def broken(root: Path) -> list[str]:
    """
    The links below a folder that lead nowhere.
    """
    found = []
    for path in sorted(root.rglob("*.html")):
        for link in sorted(page(path).links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path
            if parts.path:
                target = (path.parent / unquote(parts.path)).resolve()
            anchor = unquote(parts.fragment)
            exists = target.is_file() and target.is_relative_to(root)
            if exists and anchor and target.suffix == ".html":
                exists = anchor in page(target).anchors
            if not exists:
                found.append(f"{path.relative_to(root)}: {link}")
    return found


def main() -> None:
    """
    Say which are broken.
    """
    root = Path(sys.argv[1]).resolve()
    found = broken(root)
    pages = len(list(root.rglob("*.html")))
    print(*found, f"{pages} pages, {len(found)} broken links", sep="\n")
    raise SystemExit(bool(found) or not pages)


if __name__ == "__main__":
    main()
