"""One call in every form that the readers know gives one event, with all sizes and ids."""

# ruff: noqa: E501 (recorded lines are as long as they are)
from __future__ import annotations

import html
import json
import quopri

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memslots.trace import Reading, parse_text

REGION = "KVM_SET_USER_MEMORY_REGION"
PAGE = 4096
NAMED = {
    0: "0",
    1: "KVM_MEM_LOG_DIRTY_PAGES",
    2: "KVM_MEM_READONLY",
    3: "KVM_MEM_LOG_DIRTY_PAGES|KVM_MEM_READONLY",
}
RESULTS = {0: "0", -17: "-1 EEXIST (File exists)", -22: "-1 EINVAL (Invalid argument)"}
TEXTS = {-17: "File exists", -22: "Invalid argument"}

# Sizes and ids that once met a rule for something else, among all others.
pages = st.one_of(
    st.sampled_from([512, 512000, 491520, 1, 2, 8, 0x3D]), st.integers(1, (1 << 31) - 1)
)
slots = st.one_of(st.sampled_from([20, 200, 209, 0x3D, 3, 2, 0]), st.integers(0, 32763))
gpas = st.one_of(
    st.sampled_from([0, 0x20000000, 0x3D000]), st.integers(0, (1 << 36) - 1).map(lambda n: n * PAGE)
)
hvas = st.one_of(st.just(0x203D00000000), st.integers(16, (1 << 35) - 1).map(lambda n: n * PAGE))
calls = st.tuples(slots, st.sampled_from(sorted(NAMED)), gpas, pages.map(lambda n: n * PAGE), hvas,
                  st.sampled_from(sorted(RESULTS)))  # fmt: skip


def strace(slot, flags, gpa, nbytes, hva, result):
    return (f"ioctl(8, {REGION}, {{slot={slot}, flags={NAMED[flags]}, guest_phys_addr={gpa:#x}, "
            f"memory_size={nbytes}, userspace_addr={hva:#x}}}) = {RESULTS[result]}")  # fmt: skip


def unfinished(*call):
    shown = strace(*call)
    at = shown.index(") = ")
    return f"100 {shown[:at]} <unfinished ...>\n101 futex(0x1, 0) = 0\n100 <... ioctl resumed>{shown[at:]}"


def region2(slot, flags, gpa, nbytes, hva, result):
    return (f"[pid 7] ioctl(8, {REGION}2, {{slot={slot}, flags={NAMED[flags]}, guest_phys_addr={gpa:#x}, "
            f"memory_size={nbytes}, userspace_addr={hva:#x}, guest_memfd_offset=0, guest_memfd=20}}) = "
            f"{RESULTS[result]} <0.000020>")  # fmt: skip


def raw(slot, flags, gpa, nbytes, hva, result):
    return (f"20 1795363703.754211 ioctl(20, 0x4020ae46, {{slot={slot}, flags={flags:#x}, guest_phys_addr={gpa:#x}, "
            f"memory_size={nbytes}, userspace_addr={hva:#x}}}) = {RESULTS[result]}")  # fmt: skip


def qemu7(slot, flags, gpa, nbytes, hva, result):
    return (f"20@1795363703.754211:kvm_set_user_memory Slot#{slot} flags={flags:#x} gpa={gpa:#x} size={nbytes:#x} "
            f"ua={hva:#x} ret={result}")  # fmt: skip


def qemu8(slot, flags, gpa, nbytes, hva, result):
    return (f"kvm_set_user_memory AddrSpace#0 Slot#{slot} flags={flags:#x} gpa={gpa:#x} size={nbytes:#x} "
            f"ua={hva:#x} guest_memfd=-1 guest_memfd_offset=0x0 ret={result}")  # fmt: skip


def bpf(slot, flags, gpa, nbytes, hva, result):
    return (f"1795363703123456 qemu 12/13 fd=20 slot={slot} flags={flags:#x} gpa={gpa:#x} size={nbytes} "
            f"hva={hva:#x} ret={result}")  # fmt: skip


def own(slot, flags, gpa, nbytes, hva, result):
    fields = {
        "slot": slot,
        "flags": flags,
        "guest_phys_addr": gpa,
        "memory_size": nbytes,
        "userspace_addr": hva,
    }
    return json.dumps({"v": 1, "call": REGION, "fields": fields, "result": result, "fd": 8})


FORMS = (strace, unfinished, region2, raw, qemu7, qemu8, bpf, own)
NOT_OF_THE_CALL = ("guest_memfd", "guest_memfd_offset")


def wrapped(text, columns):
    """As a terminal of so many columns wraps it."""
    return "\n".join(
        line[at : at + columns]
        for line in text.split("\n")
        for at in range(0, max(1, len(line)), columns)
    )


def plain(text):
    return text


def quoted(text):
    return "\n".join(f"> {line}" for line in text.split("\n"))


def coloured(text):
    return f"\x1b[31m{text}\x1b[0m"


def crlf(text):
    return text.replace("\n", "\r\n") + "\r\n"


def mailed(text):
    """As a mailer writes quoted-printable."""
    return quopri.encodestring(text.encode()).decode()


def in_html(text):
    return f"<pre>{html.escape(text)}</pre>"


def with_nul(text):
    return text + "\0"


DRESSES = (plain, quoted, coloured, crlf, mailed, in_html, with_nul)


def shown(text):
    reading = Reading()
    events = [
        (
            {name: value for name, value in event.fields.items() if name not in NOT_OF_THE_CALL},
            event.result,
        )
        for event in parse_text(text, reading=reading)
    ]
    return events, reading.skipped


def expected(slot, flags, gpa, nbytes, hva, result):
    fields = {
        "slot": slot,
        "flags": flags,
        "guest_phys_addr": gpa,
        "memory_size": nbytes,
        "userspace_addr": hva,
    }
    return [(fields, result)]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@settings(max_examples=60)
@given(call=calls, dress=st.sampled_from(DRESSES))
@example(call=(20, 0, 0x20000000, 2 << 20, 0x7F2A3F800000, -17), dress=plain)
@example(call=(20, 3, 0x20000000, 2097152000, 0x7F2A3F800000, 0), dress=crlf)
def test_the_same_call_in_every_form(form, call, dress) -> None:
    assert shown(dress(form(*call))) == (expected(*call), {})


@pytest.mark.parametrize(
    "form", [strace, raw, region2, qemu7, qemu8], ids=lambda form: form.__name__
)
@settings(max_examples=60)
@given(call=calls, columns=st.integers(72, 100), outer=st.sampled_from([plain, quoted, crlf]))
def test_a_call_wrapped_by_a_terminal(form, call, columns, outer) -> None:
    assert shown(outer(wrapped(form(*call), columns))) == (expected(*call), {})


@settings(max_examples=60)
@given(
    call=calls.filter(lambda call: call[-1]),
    columns=st.integers(72, 100),
    dress=st.sampled_from(DRESSES[:4]),
)
def test_a_message_wrapped_by_a_terminal(call, columns, dress) -> None:
    slot, _, gpa, nbytes, _, result = call
    text = (f"qemu-system-x86_64: kvm_set_user_memory_region: {REGION} failed, slot={slot}, start={gpa:#x}, "
            f"size={nbytes:#x}: {TEXTS[result]}")  # fmt: skip
    fields = {"slot": slot, "guest_phys_addr": gpa, "memory_size": nbytes}
    assert shown(dress(wrapped(text, columns))) == ([(fields, result)], {})


@given(call=calls, other=calls)
def test_other_calls_with_slots_and_sizes(call, other) -> None:
    slot, nbytes = call[0], other[3]
    lines = {
        f"ioctl(8, KVM_CLEAR_DIRTY_LOG, {{slot={slot}, num_pages={nbytes // PAGE}, first_page=20}}) = 0": {
            "slot": slot, "num_pages": nbytes // PAGE, "first_page": 20,
        },
        f"ioctl(8, KVM_CREATE_GUEST_MEMFD, {{size={nbytes}, flags=0}}) = 20": {"size": nbytes, "flags": 0},
        f"ioctl(8, KVM_SET_MEMORY_ATTRIBUTES, {{address=0x20000000, size={nbytes}, attributes=0x8, flags=0}}) = 0": {
            "address": 0x20000000, "size": nbytes, "attributes": 8, "flags": 0,
        },
    }  # fmt: skip
    for text, fields in lines.items():
        for dress in DRESSES:
            events, skipped = shown(dress(text))
            assert ([event[0] for event in events], skipped) == ([fields], {})


def test_a_number_that_begins_with_3d_stays_one() -> None:
    from memslots.trace import mend

    for clean in (
        "base=3D000000 limit=3DFFFFFF",
        "size=2097152",
        "a=20 b=30",
        "irq=3D7 x=1",
        "memory_size=20",
    ):
        assert mend.split(clean) == [clean]
    assert mend.split("slot=3D20, flags=3D0x1") == ["slot=20, flags=0x1"]
    assert not mend.soft_break("x" * 60 + ", memory_size=", "4096, userspace_addr=0x1000")
    assert mend.soft_break("x" * 60 + ", memory_size=", "=3D4096")
