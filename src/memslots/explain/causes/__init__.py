"""Causes that are no rules of memory slots, a chapter in each file."""
