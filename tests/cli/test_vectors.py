"""`memslots vectors`."""

from __future__ import annotations

import json

import pytest
from epilog import call, examples

from memslots.errors import UnknownKernelError
from memslots.export.vectors import check, vectors
from memslots.kernel.names import find
from memslots.rules.catalogue import find_rule
from memslots.rules.presence import exists

KERNELS = [
    "4.19/x86_64", "5.10/i386+pa40", "6.1/x86_64+pa46", "6.18/x86_64-tdp-smm",
    "7.2/x86_64+intel+apicv+pa46",
    "6.12/arm64+16k", "7.2/arm64", "6.12/riscv64+pa50", "6.1/ppc32", "6.12/s390x",
    "7.2/loongarch64", "5.4/mips",
]  # fmt: skip


@pytest.mark.parametrize("line", examples("vectors"))
def test_examples_of_the_help(line: str) -> None:
    code, out, err = call(line)
    assert (code, err) == (0, "")
    header, *rest = [json.loads(text) for text in out.splitlines()]
    assert header["schema"] == "memslots.vectors/1"
    assert len(rest) == header["sequences"]


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_oracle_gives_the_results_of_the_vectors(kernel: str) -> None:
    lines = list(vectors(kernel, seed=5, sequences=12, calls=50))
    assert list(check(iter(lines))) == []
    profile = find(kernel)
    rows = [row for line in lines[1:] for row in json.loads(line)["calls"]]
    assert len(rows) == 12 * 51
    rules = {row["rule"] for row in rows if "rule" in row}
    assert len(rules) >= 10
    assert all(exists(find_rule(rule), profile) for rule in rules)


def test_a_seed_is_the_same_again_and_another_is_not() -> None:
    first = list(vectors("6.1", seed=1, sequences=3, calls=10))
    assert first == list(vectors("6.1", seed=1, sequences=3, calls=10))
    assert first[1:] == list(vectors("6.1", seed=1, sequences=5, calls=10))[1:4]
    assert first[1:] != list(vectors("6.1", seed=2, sequences=3, calls=10))[1:]


def test_rows_have_what_the_schema_says() -> None:
    header, one = [
        json.loads(line) for line in vectors("6.1/x86_64+pa46", seed=1, sequences=1, calls=30)
    ]
    assert (header["kernel"], header["page_bytes"], header["options"]) == (
        "6.1/x86_64+pa46",
        4096,
        {"gpa-bits": 46},
    )
    for row in one["calls"]:
        assert set(row) <= {"call", "fields", "result", "errno", "rule", "pages", "mmu_budget"}
        assert ("errno" in row) == (row["result"] < 0) == ("rule" in row)
        assert all(isinstance(value, str) or value <= 1 << 53 for value in row["fields"].values())


def test_a_changed_result_is_found() -> None:
    lines = list(vectors("6.1", seed=1, sequences=1, calls=5))
    one = json.loads(lines[1])
    one["calls"][2]["result"] = -5
    lines[1] = json.dumps(one)
    assert [(number, expected) for _, number, expected, _ in check(iter(lines))] == [(2, -5)]


def test_errors() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        list(vectors("6.1", sequences=0))
    with pytest.raises(UnknownKernelError):
        list(vectors("ubuntu-24.04"))
    assert call("memslots vectors --kernel nonsense")[0] == 2
    assert call("memslots vectors --calls 0")[0] == 2
