"""Each JSON output is what its schema says, and each schema is of an output."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from epilog import ROOT, call, examples
from requires import requires

from memslots.cli.main import COMMANDS
from memslots.views.schemas import schema_names, schema_text

jsonschema = pytest.importorskip("jsonschema")

SOURCE = Path(ROOT) / "src" / "memslots"
SHOWN = sorted(
    {line for name in COMMANDS for line in examples(name)
     if "--json" in line and name not in ("live", "record", "verify")}
)  # fmt: skip
MORE = [
    "memslots explain --json --elsewhere examples/recordings/qemu72-q35-lifecycle.strace",
    "memslots explain --json examples/failures/qemu-tseg-2020.strace",
    "memslots explain --json examples/recordings/gvisor-kvm.strace",
    "memslots replay --all --json examples/recordings/libkrun-kvm.strace",
    "memslots map --json examples/refused-overlap.strace",
    "memslots timeline --json examples/recordings/qemu72-q35-strace-f-ttt.strace",
    "memslots check --json examples/layouts/arm64-virt.toml",
    "memslots check --json --kernel all+pa46 examples/layouts/pc-hotplug.toml",
    "memslots rule ENOENT --json",
    "memslots rule vfio-memlock-limit --json",
    "memslots rule unbacked-window --json",
    "memslots kernel 6.12/arm64+16k --json",
    "memslots kernel 7.3/loongarch64 --json",
    "memslots diff 4.19/i386 7.3/x86_64 --json",
    "memslots accounting --json --host-bits 32 --slot-pages 524272 --slots 4",
    "memslots accounting --json --design examples/accounting/late_budget.py",
    "memslots accounting --json --lost 3",
    "memslots conformance --json examples/answers.tar.xz",
    "memslots vectors --sequences 2 --calls 9",
    "memslots example --json",
    "memslots schema --json",
    "memslots completion bash --json",
]


def checked(name, value):
    """Whether a value is what its schema says."""
    schema = json.loads(schema_text(name))
    jsonschema.Draft202012Validator(schema).validate(value)
    return value


def values_in(out):
    """JSON values of an output: one, an array of them, or one a line."""
    try:
        value = json.loads(out)
    except ValueError:
        return [json.loads(line) for line in out.splitlines()]
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("line", [*SHOWN, *MORE])
def test_an_output_is_what_its_schema_says(line):
    code, out, err = call(line)
    assert code in (0, 1, 3), err
    values = values_in(out)
    assert values
    for value in values:
        checked(value.get("schema", values[0]["schema"]), value)


@requires("kvm")
@pytest.mark.parametrize("line", ["live probe --json", "verify --operations 60 --seed 3 --json"])
def test_an_output_on_the_real_device_is_what_its_schema_says(line):
    (value,) = values_in(call(f"memslots {line}")[1])
    checked(value["schema"], value)


def test_an_answer_of_ask_is_what_its_schema_says():
    from memslots.export.oracle import Oracle

    oracle = Oracle("6.1/x86_64", detail=True)
    for line in ('{"call":"KVM_CREATE_VM","fields":{"type":0}}', "[0, 0, 0, 4096, 65536]",
                 "[1, 0, 0, 4096, 65536]", "nonsense"):  # fmt: skip
        checked("ask", json.loads(oracle.answer(line)))


@pytest.mark.parametrize("name", schema_names())
def test_a_schema_is_one_and_says_what_it_is_of(name):
    schema = json.loads(schema_text(name))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == name
    assert schema["description"].rstrip().endswith((".", "key."))
    with pytest.raises(jsonschema.ValidationError):
        checked(name, {"schema": "memslots.nothing/1"})


def test_every_output_has_a_schema_and_every_schema_an_output():
    text = "".join(path.read_text() for path in SOURCE.rglob("*.py"))
    assert set(re.findall(r'"(memslots\.[a-z-]+/\d+)"', text)) == set(schema_names())


def test_a_schema_is_printed_by_either_name():
    long, short = call("memslots schema memslots.check/1"), call("memslots schema check")
    assert long == short
    assert long[0] == 0
    code, _, err = call("memslots schema chekc")
    assert (code, "memslots.check/1" in err) == (2, True)
