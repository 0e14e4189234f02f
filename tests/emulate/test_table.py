"""The table of docs/emulate.md is what the program does, for every call of `uapi`."""

from __future__ import annotations

import re
from errno import EMFILE, ENOMEM
from pathlib import Path

from memslots.emulate.emulating_tracer import ANSWERED_ALONE
from memslots.emulate.injection import KEYS
from memslots.emulate.possible_errors import refusal_of
from memslots.errors import errno_name
from memslots.rules import ioctl
from memslots.rules.catalogue import all_rules
from memslots.rules.decide import DECISIONS
from memslots.uapi.calls import CALLS, QUERIES, REGION_CALLS

PAGE = (Path(__file__).parents[2] / "docs" / "emulate.md").read_text()
ROWS = re.findall(r"^\| `(KVM_\w+)` \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
FIXED = {"KVM_GET_API_VERSION", "KVM_GET_VCPU_MMAP_SIZE"}
OTHERS = {"KVM_RUN": "one exit", "KVM_SET_MSRS": "state", "KVM_SET_MEMORY_REGION": "not there"}


def with_kernel(name):
    if name not in DECISIONS and name not in REGION_CALLS:
        return "host"
    return "model alone" if name in ANSWERED_ALONE else "model, then host"


def without_kvm(name):
    if CALLS[name].is_beside_memory:
        return "taken"
    if name in FIXED:
        return "fixed"
    return OTHERS.get(name, "model")


def refused(name):
    result = refusal_of(name, queries=True)
    if result is None:
        return "never"
    text = "0" if result == 0 else errno_name(result)
    return f"{text}, with `--queries`" if name in QUERIES else text


def test_every_call_has_its_row():
    assert [row[0] for row in ROWS] == list(CALLS)
    for name, kernel, faked, errno in ROWS:
        assert (kernel, faked, errno) == (with_kernel(name), without_kvm(name), refused(name)), name


def test_every_key_of_an_injection_is_told():
    assert [key for key in KEYS if f"`{key}=" not in PAGE and f"|{key}=" not in PAGE] == []


WANT = {ENOMEM, EMFILE}
"""Any call may find no memory, and one that makes a descriptor no number for it."""
NO_RULE = {"KVM_GET_VCPU_MMAP_SIZE"}
"""Its argument must be 0 (kvm_dev_ioctl() in virt/kvm/kvm_main.c); no rule is about it."""


def test_a_refusal_that_is_no_want_is_one_of_a_rule_of_the_call():
    for name in set(CALLS) - NO_RULE:
        errno = -(refusal_of(name, queries=True) or 0)
        if errno and errno not in WANT:
            rules = [rule for rule in all_rules() if name in rule.calls.split(", ")]
            assert errno in {rule.errno for rule in (*rules, *ioctl.RULES)}, name
