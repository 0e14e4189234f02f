"""Layouts: what a VMM is going to ask of KVM, written down before it does."""
