"""The job of `fuzz.run` that is guided by coverage: atheris keeps what reaches something new."""

# ruff: noqa: E402 (what is instrumented has to be loaded first)

from __future__ import annotations

import atheris

WINGS = ("trace", "check", "export", "views", "cli", "explain.facts", "explain.text_events")
"""What reads and prints; the model beneath stays quick."""
with atheris.instrument_imports(include=[f"memslots.{wing}" for wing in WINGS]):
    from importlib import import_module

    from memslots.cli.main import COMMANDS

    for _module, _ in COMMANDS.values():
        import_module(f"memslots.cli.{_module}")
    for _module in ("c", "python", "strace", "perfetto", "oracle"):
        import_module(f"memslots.export.{_module}")

import os
import random
import sys

from fuzz import corpus, targets
from fuzz.mutate import LONGEST, mutated
from fuzz.run import Run, parsed

_LONGEST_SEED = 4000


def guided(run: Run, seed: int, shared: str) -> None:
    """Let atheris call, until the time is over.  Does not return."""
    words = f"{shared}.dict"
    with open(words, "w") as file:
        for word in corpus.dictionary():
            file.write('"' + "".join(f"\\x{byte:02x}" for byte in word[:64]) + '"\n')
    rng = random.Random(seed)
    for number, (kind, data) in enumerate(corpus.seeds()):
        with open(os.path.join(shared, f"seed-{number:05}"), "wb") as seeded:
            seeded.write(targets.packed(kind, rng.randrange(256), data[:_LONGEST_SEED]))

    def change(row: bytes, longest: int, how: int) -> bytes:
        rng = random.Random(how)
        if rng.random() < 0.3:
            return bytes(atheris.Mutate(row, longest))
        kind, choice, data = targets.unpacked(row)
        if rng.random() < 0.4:
            choice = rng.randrange(256)
        return targets.packed(kind, choice, mutated(kind, data, rng, data))[:longest]

    def test(row: bytes) -> None:
        run.one(row)
        if run.is_over:
            run.tell()
            os._exit(1 if run.faults else 0)

    options = [
        sys.argv[0], shared, f"-dict={words}", f"-seed={seed}", f"-max_len={LONGEST}",
        "-timeout=600", "-verbosity=0",
        "-rss_limit_mb=5000", "-reload=0", "-detect_leaks=0",
    ]  # fmt: skip
    atheris.Setup(options, test, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    _options = parsed()
    targets.limit_memory()
    guided(
        Run(f"guided {_options.seed}", _options.seconds, _options.save, _options.log),
        _options.seed,
        _options.corpus,
    )
