"""Recorded answers of real kernels, replayed through the model.

A folder holds sequences (`sequences.jsonl.gz`, `sequences-totals.jsonl.gz`) and,
for each kernel, its answers (`NAME.jsonl.gz`, `NAME.probe.jsonl.gz`,
`NAME.totals.jsonl.gz`; `.xz` or no compression are fine too).
"""
