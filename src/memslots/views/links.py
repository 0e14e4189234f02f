"""Where the documentation is: one address for links in terminals, CI files and man pages."""

from __future__ import annotations

import os

SITE = os.environ.get("MEMSLOTS_DOCS") or "https://memslots.readthedocs.io"
"""Without a slash at the end.  A copy of the site elsewhere is named by MEMSLOTS_DOCS."""


def rule_link(rule_id: str) -> str:
    """The page of a rule."""
    return f"{SITE.rstrip('/')}/rules/{rule_id}.html"
