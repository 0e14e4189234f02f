"""Where the documentation is: one address for links in terminals, CI files and man pages."""

from __future__ import annotations

import os

PUBLISHED = ""
"""The address of the site, once somebody has put it somewhere: the one place to say so.  As long
as it is empty, nothing that is printed links to a page that nobody serves.
"""
SITE = (os.environ.get("MEMSLOTS_DOCS") or PUBLISHED).rstrip("/")
"""Empty where there is none.  A copy of the site elsewhere is named by MEMSLOTS_DOCS."""


def rule_link(rule_id: str) -> str:
    """The page of a rule; empty where there is no site."""
    return f"{SITE}/rules/{rule_id}.html" if SITE else ""


def rule_place(rule_id: str) -> str:
    """Where more about a rule is to be read: its page, else the command that prints it."""
    return rule_link(rule_id) or f"memslots rule {rule_id}"
