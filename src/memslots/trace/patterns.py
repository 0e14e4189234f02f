"""Patterns of the readers: compiled when they are first used (`memslots.patterns`)."""

from __future__ import annotations

from ..patterns import lazy

__all__ = ["lazy"]
