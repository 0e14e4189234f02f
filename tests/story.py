"""Stories: text scenarios that say what KVM answers, and run.

A story is a paragraph of comments, `vm` lines that name its kernels, and blocks
of commands with the exact answers below `----`, one line an answer:

    # Two slots may touch.  Vector 53.
    vm x86_64 from 5.12
    vm 6.12/arm64+16k

    set slot 0 gfn 16 npages 4 hva H
    set slot 1 gfn 20 npages 1 hva H flags LOG
    ----
    0
    0

Every kernel of the story must give these answers.  `vm` takes a kernel's name,
or an architecture (`every` for all, `every but s390x`), with edits as in a
kernel's name, and `from`, `to` releases; then it stands for all the branches
between.  `type N` is the VM's type.  A `====` line begins the next story.

Numbers: decimal, 0x, sums and differences, `2^40`, `3P` (host pages), K, M, G,
T (bytes), `H` (a host address that suits every architecture).
"""

from __future__ import annotations

import os
import re

from memslots.errors import UnknownKernelError, errno_name
from memslots.kernel.arch import ARCHES
from memslots.kernel.history import BRANCHES
from memslots.kernel.names import find
from memslots.kernel.version import Version
from memslots.model.vm import Vm
from memslots.rules.answer import Accepted, Refused, Undetermined, Unmodelled
from memslots.state.dirty_bitmap import DirtyBitmap
from memslots.state.process import PROT_READ, PROT_WRITE, Mapping, Process
from memslots.uapi.calls import CALLS, SYSTEM
from memslots.uapi.capabilities import CAPS
from memslots.uapi.region import Region

H = 0x4000_0000
FLAGS = {"0": 0, "LOG": 1, "RO": 2, "GMEM": 4}
MANUAL_PROTECT, RING, RING_ACQ_REL, RING_WITH_BITMAP = 168, 192, 223, 225
_SWITCHES = {
    "manual-protect": MANUAL_PROTECT,
    "ring": RING,
    "ring-acq-rel": RING_ACQ_REL,
    "ring-with-bitmap": RING_WITH_BITMAP,
}
_UNITS = {"K": 10, "M": 20, "G": 30, "T": 40}


class StoryError(Exception):
    """The story itself is wrong; says where."""


class Block:
    """Commands and the answers they must give."""

    def __init__(self, line, commands, answers):
        self.line = line
        self.commands = commands
        self.answers = answers


class Story:
    """One scenario for one or many kernels."""

    def __init__(self, path, line, comment, vm_lines, blocks):
        self.path = path
        self.line = line
        self.comment = comment
        self.vm_lines = vm_lines
        self.blocks = blocks

    @property
    def id(self):
        name = os.path.basename(self.path).removesuffix(".txt")
        return f"{name}:{self.line}"

    @property
    def vectors(self):
        """Numbers of the specification's test vectors that the comment names."""
        found = set()
        for group in re.findall(
            r"[Vv]ectors?\s+((?:\d+(?:-\d+)?(?:,\s*|\s+and\s+)?)+)", " ".join(self.comment)
        ):
            for first, last in re.findall(r"(\d+)(?:-(\d+))?", group):
                found.update(range(int(first), int(last or first) + 1))
        return found

    def kernels(self):
        """(kernel name, VM type) of all kernels that the story is about."""
        found = []
        for line in self.vm_lines:
            found.extend(_expand(line))
        return found

    def run(self, kernel, vm_type):
        """The answers of one kernel, block by block."""
        teller = Teller(kernel, vm_type)
        return [[teller.tell(command) for command in block.commands] for block in self.blocks]


def _expand(line):
    words = line.split()
    vm_type = 0
    if "type" in words:
        at = words.index("type")
        vm_type = int(words[at + 1], 0)
        del words[at : at + 2]
    if len(words) == 1 and "/" in words[0]:
        return [(words[0], vm_type)]
    name, edits = re.fullmatch(r"([a-z0-9_]+?)((?:[+-].*)?)", words[0]).groups()
    options = {
        words[i]: words[i + 1 :] for i in range(1, len(words)) if words[i] in ("from", "to", "but")
    }
    names = list(ARCHES) if name == "every" else [name]
    left_out = set(options.get("but", ()))
    first = Version.parse(options["from"][0]) if "from" in options else BRANCHES[0]
    last = Version.parse(options["to"][0]) if "to" in options else BRANCHES[-1]
    kernels = []
    for arch in names:
        if arch not in ARCHES:
            raise StoryError(f"no architecture {arch!r} in {line!r}")
        for branch in BRANCHES:
            if arch in left_out or not first.branch <= branch.branch <= last.branch:
                continue
            kernel = f"{branch}/{arch}{edits}"
            try:
                find(kernel)
            except UnknownKernelError:
                if name != "every" and branch.branch >= (6, 7):
                    raise
                continue
            kernels.append((kernel, vm_type))
    return kernels


def read_stories(path):
    """The stories of a file."""
    with open(path, encoding="utf-8") as opened:
        lines = opened.read().splitlines()
    stories, start = [], 0
    for at, line in enumerate([*lines, "===="]):
        if line == "====":
            stories.append(_parse(path, lines, start, at))
            start = at + 1
    return stories


def _parse(path, lines, start, end):
    comment, vm_lines, blocks = [], [], []
    first = None
    at = start
    while at < end:
        line = lines[at]
        if not line.strip():
            at += 1
            continue
        first = at + 1 if first is None else first
        if line.startswith("#"):
            comment.append(line[1:].strip())
            at += 1
        elif line.startswith("vm "):
            vm_lines.append(line[3:].strip())
            at += 1
        else:
            block_line, commands, answers = at + 1, [], []
            while at < end and lines[at] != "----":
                if not lines[at].strip():
                    raise StoryError(f"{path}:{at + 1}: a block without ----")
                commands.append(lines[at])
                at += 1
            at += 1
            while at < end and lines[at].strip():
                answers.append(lines[at])
                at += 1
            blocks.append(Block(block_line, commands, answers))
    if first is None or not comment or not vm_lines or not blocks:
        raise StoryError(f"{path}:{start + 1}: a story needs a comment, a vm line and a block")
    return Story(path, first, comment, vm_lines, blocks)


def rewritten(lines, stories):
    """The file's lines with the answers that the model gives now (of each story's first kernel)."""
    lines = list(lines)
    for story in reversed(stories):
        answers = story.run(*story.kernels()[0])
        for block, given in reversed(list(zip(story.blocks, answers))):
            at = block.line - 1 + len(block.commands) + 1
            lines[at : at + len(block.answers)] = given
    return lines


class Teller:
    """Carries out the commands of a story on one kernel."""

    def __init__(self, kernel, vm_type):
        self.profile = find(kernel)
        self.vm_type = vm_type
        self.process = Process()
        for fd in range(3):
            self.process.fds[fd] = None
        self.files = {}
        self.vm = None
        self.fresh()

    def fresh(self):
        self.vm = Vm(self.profile, self.vm_type, process=self.process)

    def tell(self, command):
        words = command.split()
        method = getattr(self, "_do_" + words[0].replace("-", "_"), None)
        if method is None:
            raise StoryError(f"unknown command {command!r}")
        answer = method(*words[1:])
        self.vm.check()
        return answer

    # -- words to values and back

    def number(self, text):
        total = 0
        for sign, term in re.findall(r"([+-]?)([^+-]+)", text):
            total += -self._term(term) if sign == "-" else self._term(term)
        return total

    def _term(self, term):
        if term == "H":
            return H
        if match := re.fullmatch(r"(\w+)\^(\w+)", term):
            return self._term(match[1]) ** self._term(match[2])
        if match := re.fullmatch(r"(0x[0-9a-fA-F]+|\d+)P", term):
            return int(match[1], 0) << self.vm.page_shift
        if match := re.fullmatch(r"(\d+)([KMGT])", term):
            return int(match[1]) << _UNITS[match[2]]
        try:
            return int(term, 0)
        except ValueError:
            raise StoryError(f"not a number: {term!r}") from None

    def flags(self, text):
        return sum(FLAGS[word] if word in FLAGS else self.number(word) for word in text.split("|"))

    @staticmethod
    def say(outcome, value=True):
        if isinstance(outcome, Refused):
            return f"{errno_name(outcome.errno)} {outcome.rule.id}"
        if isinstance(outcome, Undetermined):
            return f"undetermined {outcome.rule.id}"
        if isinstance(outcome, Unmodelled):
            return "not modelled"
        return str(outcome.value) if value else "0"

    @staticmethod
    def _pairs(words):
        if len(words) % 2:
            raise StoryError(f"words do not come in pairs: {words}")
        return dict(zip(words[::2], words[1::2]))

    # -- region calls

    def _request(self, words, region2):
        pairs = self._pairs(words)
        shift = self.vm.page_shift
        slot = self.number(pairs["slot"]) | self.number(pairs.get("as", "0")) << 16
        gpa = (
            self.number(pairs["gpa"])
            if "gpa" in pairs
            else self.number(pairs.get("gfn", "0")) << shift
        )
        size = (
            self.number(pairs["size"])
            if "size" in pairs
            else self.number(pairs.get("npages", "0")) << shift
        )
        fd = pairs.get("fd", "0")
        fd = self.files[fd] if fd in self.files else int(fd)
        return Region(
            slot,
            self.flags(pairs.get("flags", "0")),
            gpa,
            size,
            self.number(pairs.get("hva", "0")),
            fd,
            self.number(pairs.get("offset", "0")),
            region2,
            self.number(pairs.get("readable", "160")),
        )

    def _do_set(self, *words):
        return self.say(self.vm.submit(self._request(words, False)))

    def _do_set2(self, *words):
        return self.say(self.vm.submit(self._request(words, True)))

    def _do_delete(self, *words):
        return self._do_set(*words)

    def _do_child_set(self, *words):
        return self.say(self.vm.submit(self._request(words, False), by_other_process=True))

    def _do_fill(self, *words):
        """`fill slots 0-9 gfn 0 step 2 npages 1 hva H`: one after the other, until one is
        refused.
        """
        pairs = self._pairs(words)
        first, last = (int(word) for word in pairs.pop("slots").split("-"))
        step, gfn = self.number(pairs.pop("step")), self.number(pairs["gfn"])
        rest = [word for pair in pairs.items() if pair[0] != "gfn" for word in pair]
        for slot in range(first, last + 1):
            outcome = self.vm.submit(
                self._request(
                    ["slot", str(slot), "gfn", str(gfn + (slot - first) * step), *rest], False
                )
            )
            if not isinstance(outcome, Accepted):
                return f"{slot - first} accepted, then {self.say(outcome)}"
        return f"{last + 1 - first} accepted"

    def _do_ioctl(self, nr, direction, nbytes):
        """An ioctl of the VM by number, direction and size, as an old program would make it."""
        encoding = (int(nr, 0), int(direction), int(nbytes))
        for call in CALLS.values():
            if (
                encoding == (call.nr, call.direction, call.argument_bytes)
                and call.name != "KVM_SET_MEMORY_REGION"
            ):
                return self.say(self.vm.call(call.name))
        return errno_name(self.profile.arch.unknown_vm_ioctl)

    def _do_kill(self):
        self.vm.state.kill()
        return "ok"

    # -- what is there

    def _do_slots(self, *words):
        space = int(words[0]) if words else 0
        return "; ".join(self._shown(slot) for slot in self.vm.slots(space)) or "none"

    @staticmethod
    def _shown(slot):
        names = [name for name, bit in FLAGS.items() if bit and slot.flags & bit]
        names += ["INVALID"] if slot.is_invalid else []
        who = f" ({slot.owner})" if slot.owner else ""
        hva = (
            f"H+{slot.userspace_addr - H:#x}"
            if slot.userspace_addr >= H
            else str(slot.userspace_addr)
        )
        hva = hva.removesuffix("+0x0")
        return (
            f"{slot.id}{who} gfn {slot.base_gfn} npages {slot.npages} hva {hva} flags "
            f"{'|'.join(names) or '0'}"
        )

    def _do_total(self):
        return f"{self.vm.total_pages} pages"

    def _do_budget(self):
        return str(self.vm.mmu_budget)

    def _do_generations(self):
        return " ".join(str(generation) for generation in self.vm.state.generations)

    def _do_reads(self, gpa, *words):
        return self._place(self.vm.gpa_to_hva(self.number(gpa), int(words[1]) if words else 0))

    def _do_writes(self, gpa, *words):
        return self._place(
            self.vm.gpa_to_hva(self.number(gpa), int(words[1]) if words else 0, write=True)
        )

    def _place(self, hva):
        if hva is None:
            return "nothing"
        pages, offset = divmod(hva - H, 1 << self.vm.page_shift)
        return f"H+{pages}P+{offset}" if offset else f"H+{pages}P"

    def _do_capability(self, name, *where):
        outcome = self.vm.check_extension(CAPS["KVM_CAP_" + name], on_system=bool(where))
        return self.say(outcome)

    # -- dirty logging

    def _do_get_dirty(self, *words):
        pairs = self._pairs(words)
        buffer_bytes = self.number(pairs["buffer"]) if "buffer" in pairs else None
        outcome = self.vm.get_dirty_log(self.number(pairs["slot"]), buffer_bytes)
        if not isinstance(outcome, Accepted):
            return self.say(outcome)
        bitmap = outcome.data
        assert isinstance(bitmap, DirtyBitmap)
        nbytes = len(bitmap.to_bytes(self.vm.state.machine.long_bits))
        return f"0, {nbytes} bytes, dirty {_ranges(bitmap.pages())}"

    def _do_clear_dirty(self, *words):
        pairs = self._pairs(words)
        buffer_bytes = self.number(pairs["buffer"]) if "buffer" in pairs else None
        return self.say(
            self.vm.clear_dirty_log(
                self.number(pairs["slot"]),
                self.number(pairs["first"]),
                self.number(pairs["num"]),
                None,
                buffer_bytes,
            )
        )

    def _do_write(self, _gfn, gfn):
        """The guest writes a page."""
        self.vm.mark_dirty(self.number(gfn) << self.vm.page_shift)
        return "ok"

    def _do_enable(self, name, argument, *words):
        pairs = self._pairs(words)
        capability = _SWITCHES.get(name) or CAPS["KVM_CAP_" + name]
        return self.say(
            self.vm.enable_cap(
                capability, self.number(argument), flags=self.number(pairs.get("flags", "0"))
            )
        )

    def _do_reset_rings(self):
        return self.say(self.vm.reset_dirty_rings())

    # -- guest_memfd and attributes

    def _do_gmem(self, name, *words):
        pairs = self._pairs(words)
        outcome = self.vm.create_guest_memfd(
            self.number(pairs["size"]), self.number(pairs.get("flags", "0"))
        )
        if not isinstance(outcome, Accepted):
            return self.say(outcome)
        self.files[name] = outcome.value
        return "fd"

    def _do_close(self, name):
        return "0" if self.vm.close_guest_memfd(self.files[name]) else "EBADF"

    def _do_attributes(self, *words):
        pairs = self._pairs(words)
        return self.say(
            self.vm.set_memory_attributes(
                self.number(pairs["gpa"]),
                self.number(pairs["size"]),
                self.number(pairs["value"]),
                self.number(pairs.get("flags", "0")),
            )
        )

    def _do_pre_fault(self, *words):
        pairs = self._pairs(words)
        return self.say(
            self.vm.pre_fault_memory(
                self.number(pairs["gpa"]),
                self.number(pairs["size"]),
                self.number(pairs.get("flags", "0")),
            )
        )

    # -- other calls of the VM

    def _do_fresh(self, _vm, *words):
        """Another VM of the same kernel; the files of the old one stay open."""
        self.fresh()
        return "ok"

    def _do_create_vm(self, _type, vm_type):
        number = self.number(vm_type)
        answer = self.vm.what_if("KVM_CREATE_VM", {"type": number}, on=SYSTEM)
        if isinstance(answer, Accepted):
            self.vm = Vm(self.profile, number, process=self.process)
        return self.say(answer)

    def _do_vcpu(self, number):
        return self.say(self.vm.create_vcpu(self.number(number)))

    def _do_irqchip(self):
        return self.say(self.vm.create_irqchip())

    def _do_tss(self, gpa):
        return self.say(self.vm.set_tss_addr(self.number(gpa)))

    def _do_identity(self, gpa):
        return self.say(self.vm.set_identity_map_addr(self.number(gpa)))

    def _do_set_nr_mmu(self, npages):
        return self.say(self.vm.set_nr_mmu_pages(self.number(npages)))

    def _do_get_nr_mmu(self):
        return self.say(self.vm.get_nr_mmu_pages())

    def _do_config(self, name, value):
        """Something that the VM has switched on and no modelled call does."""
        setattr(self.vm.state.config, name, bool(int(value)))
        return "ok"

    def _do_map(self, start, nbytes, *words):
        """A mapping of the host: `map H 4P read`, with `shared`, `pfn`, `mte`."""
        begin = self.number(start)
        self.process.mmap(
            Mapping(
                begin,
                begin + self.number(nbytes),
                PROT_READ if "read" in words else PROT_READ | PROT_WRITE,
                is_shared="shared" in words,
                is_pfn="pfn" in words,
                mte_allowed="mte" in words,
            )
        )
        return "ok"


def _ranges(pages):
    pages = list(pages)
    found = []
    for page in pages:
        if found and found[-1][1] == page - 1:
            found[-1][1] = page
        else:
            found.append([page, page])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in found) or "none"
