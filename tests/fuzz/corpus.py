"""What fuzzing starts from: inputs by kind, a dictionary made from `uapi`, numbers at the edges."""

from __future__ import annotations

import errno
import json
import os
import re

from memslots.trace.message_table import TABLE
from memslots.uapi.calls import CALLS
from memslots.uapi.capabilities import CAPS
from memslots.uapi.flags import FLAGS_BY_NAME

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TEXT, JSONL, REC, LAYOUT, ASK = KINDS = ("text", "jsonl", "rec", "layout", "ask")
"""Kinds of input: traces and prose; events; recordings; layouts; questions."""
PLACES = ("tests/corpus", "tests/diagnosis", "examples")
_LONGEST_SEED = 24_000
"""Bytes of a seed: longer files are cut into pieces, so that inputs stay quick."""
NUMBERS = (
    0, 1, -1, 2, 3, 4, 8, 63, 64, 255, 4095, 4096, 0xFFF, 0xFFFF, 0x10000, 1 << 20, 1 << 21,
    1 << 30,
    3 << 30, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**47 - 4096, 2**47, 2**48 - 4096, 2**52,
    2**56, 2**63 - 4096, 2**63 - 1, 2**63, 2**64 - 4096, 2**64 - 1, 2**64, 10**30, -(2**31),
    -(2**63), -(2**63) - 1, 10**400, -17, -22, -14, -12, -7, -524, -99999, -(10**12), 0xFEE00000,
    0xFFFBD000, 0x7F00_0000_0000,
)  # fmt: skip
HOSTILE = (
    "\x1b[31m", "\x1b]0;x\x07", "\x9b31m", "\u202e", "\u2066", "\u200f", "\ud800", "\x00", "\r",
    "\x7f", "\ufeff",
    "<img src=x onerror=alert(1)>", "]]>", "*/", '"""', "'''", "\\", "`", "|", "\u2028", "\x85",
    "\x0c", "%n",
    "]]]]" * 40, "((((" * 40, "A" * 5000,
)  # fmt: skip
"""Texts that harm one destination or another."""


def dictionary() -> list[bytes]:
    """Words of every format, from the tables of the product."""
    words: set[str] = set(CALLS) | set(CAPS) | set(FLAGS_BY_NAME)
    words |= {name for call in CALLS.values() for name in call.names}
    words |= {f"{call.request():#x}" for call in CALLS.values()}
    words |= {
        f"_IOC(_IOC_WRITE, 0xae, {call.nr:#x}, {call.argument_bytes:#x})" for call in CALLS.values()
    }
    words |= {
        f"-1 {name} ({os.strerror(number)})"
        for number, name in errno.errorcode.items()
        if number < 40
    }
    words |= {_words_of(words) for _, _, words in TABLE}
    words |= {
        "ioctl(", "}) = ", " <unfinished ...>", "<... ioctl resumed>", "[pid 123] ", "> ", "=3D",
        "=\n", "<br>",
        "&lt;", "kvm_set_user_memory ", "Slot#1 ", "AddrSpace#70000 ", "ret=-17", '{"msg": "',
        "os error 22)",
        '{"v": 1, "call": "KVM_RUN"', "\\n", "/* ", " */",
        "syscall(__NR_ioctl, r[1], 0x4020ae46ul, ",
        "*(uint64_t*)0x20000008 = ", "WARNING: CPU: 1 PID: 1 at virt/kvm/kvm_main.c:1 ",
        "==== Test Assertion Failure ====\n", "<domain type='kvm'>", "</domain>",
        "qemu-system-x86_64 -m 8G \\\n",
        "kvm_run_exit cpu_index 0, reason 2", "[[slot]]\n", "gpa = ", "size = ", "flags = [",
        "then = [",
        "memslots-recording {", "ioctl$KVM_SET_USER_MEMORY_REGION(r1, 0x4020ae46, &(0x7f00)={",
        "= ?", "mmap(",
        "munmap(", "mremap(", "mprotect(", "clone(", "exited with 0", "+++", "--- SIGSEGV",
        "error: kvm run failed ",
        "{slot=", "slot=0, flags=0, gpa=0x0, size=0x1000", "-m 8G,slots=4,maxmem=64G",
        "exit_reason",
    }  # fmt: skip
    return sorted({word.encode() for word in words if word})


def _words_of(pattern: object) -> str:
    """The longest run of plain letters in a pattern: enough to come near to it."""
    runs = re.findall(r"[A-Za-z_ ,:'-]{6,}", str(getattr(pattern, "pattern", "")))
    return max(runs, key=len, default="")


def seeds() -> list[tuple[str, bytes]]:
    """(kind, content) of the examples, the corpus and the cases, in pieces that are not long."""
    found: list[tuple[str, bytes]] = []
    for place in PLACES:
        for folder, folders, names in os.walk(os.path.join(ROOT, place)):
            folders.sort()
            for name in sorted(names):
                if not name.endswith((".py", ".pyc", ".md")):
                    with open(os.path.join(folder, name), "rb") as file:
                        found += _pieces(name, file.read())
    found += [(ASK, line) for line in questions()]
    return found


def kind_of(name: str, data: bytes) -> str:
    """The kind of an input by its name and its beginning."""
    if name.endswith(".ask"):
        return ASK
    if data.startswith(b"memslots-recording"):
        return REC
    if name.endswith((".toml", "-mtree.txt")) or b'"slot":' in data[:200]:
        return LAYOUT
    return JSONL if data.startswith(b'{"v"') or name.endswith(".jsonl") else TEXT


def _pieces(name: str, data: bytes) -> list[tuple[str, bytes]]:
    kind = kind_of(name, data)
    if name.endswith(".json") and kind == TEXT:
        return [(TEXT, text) for text in _texts(data)]
    if kind in (REC, LAYOUT) or len(data) <= _LONGEST_SEED:
        return [(kind, data)]
    lines = data.splitlines(keepends=True)
    step = max(40, len(lines) * 4000 // len(data))
    return [
        (kind, b"".join(lines[at : at + step])[:_LONGEST_SEED]) for at in range(0, len(lines), step)
    ]


def _texts(data: bytes) -> list[bytes]:
    """The texts of a case: what its lines say."""
    try:
        value = json.loads(data)
    except ValueError:
        return [data]
    texts: list[bytes] = []
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, str) and len(each) > 60:
            texts.append(each.encode("utf-8", "surrogatepass"))
    return texts


def questions() -> list[bytes]:
    """Questions for `ask`."""
    calls = [
        json.dumps({"call": name, "fields": {field.name: 1 for field in call.fields}}).encode()
        for name, call in CALLS.items()
    ]
    return [
        b"[0, 0, 0, 4096, 65536]\n[0, 0, 0, 8192, 65536]\n[0, 0, 0, 0, 0]",
        b"[1, 2, 4096, 4096, 65536, 3, 0]",
        b"\n".join(calls),
        *calls,
    ]
