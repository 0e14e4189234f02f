"""Layouts: what a VMM is going to ask of KVM, written down before it does.

`memslots.check.plan.load` reads them; docs/check.md has the format.
"""
