"""The bpftrace script that records memory calls, made from the tables of `calls`.

Calls go into a map and not out one by one: waking a reader for each would cost
more than the call.  There are two such maps.  One fills while the other is
printed and cleared; they change places only after the reader has cleared (@busy
is cleared after it), so that no call falls between print and clear.  A map that
is full drops calls: @entered counts what should have come out.

Syntax of bpftrace 0.17, with the casts that later versions want.
"""

from __future__ import annotations

from ..live.device import UNSEEN
from ..uapi.calls import CALLS
from ..uapi.encoding import KVMIO
from .calls import ANY_SIZE, LEFT_OUT, RECORDED, REQUESTS

WORDS = max(-(-call.struct.size // 8) for call in RECORDED)
"""64-bit words read of each argument: enough for the longest."""
TICK_MS = 50
"""A call comes out after two to four of them."""
MARK = CALLS["KVM_CREATE_VM"].request()
SEED, UNSEED = CALLS["KVM_CREATE_VCPU"].request(), CALLS["KVM_CREATE_IRQCHIP"].request()
"""Calls that the recorder makes on no file: see me, and record from now on; follow this thread; do
not.
"""
MARK_BITS, NONCE_BITS = 16, 32
"""A mark's argument: what all recorders have in common, this one's nonce, and in so many bits a
number; 0: record no more.  Probes come and go one by one; without marks there would be entries
without exits meanwhile.
"""
RECORDERS = UNSEEN
"""What the arguments of all these calls begin with: those of another recorder are no calls of a
program.
"""
FINISHED, UNSURE, UNFINISHED = 0, 1, 2
"""How a row ended.  Unsure: the argument may have been unreadable at the entry; its words that
read as 0 were read again at the exit.  Unfinished: the thread ended within the call."""
_WORD_NAMES = tuple(f"word{at}" for at in range(WORDS))
ENTRY = ("time_ns", "request", "fd", "argument", *_WORD_NAMES, "tid", "pid")
"""What a row of @call holds: a thread is in this call."""
ROW = (*ENTRY, "result", "end_ns", "ending")
"""What a row of @a and @b holds.  Times are of a clock that starts at boot."""
PAGE_BYTES = 4096
"""The smallest page of any machine: readable as a whole, or not at all."""
LAST_WHOLE = PAGE_BYTES - 8 * WORDS
"""Offset on a page of the last argument that lies on that page alone."""

# a request that has its argument's size in it (above bit 16) takes a structure; reading where there
# is none costs a page fault for each word
# every field of args is read once, into a variable: of several reads the compiler
# makes one address, which the kernel's verifier refuses
_ENTER = """\
tracepoint:syscalls:sys_enter_ioctl {
  $command = (uint64)args->cmd;
  $request = $command & 0xffffffff;
  if (MEMORY_CALL && FOLLOWED && $command >> 32 != RECORDERS_BEGIN) {
    $at = (uint64)args->arg;
    $ours = $at >> MARK_BITS == NONCE;
    if ($request == MARK_NUMBER && $ours) { @recording = $at & MARK_MASK; }
    if (@recording && ($ours || $at >> BITS_BELOW_RECORDERS != RECORDERS_BEGIN)) {
      ZERO_WORDS
      if ($request > LAST_WITHOUT_STRUCTURE) {
        READ_WORDS
      }
      @entered = count();
      @call[ME] = (nsecs, $request, (uint64)args->fd, $at, WORDS_READ, ME, (uint64)pid);
    }
SEEDING  }
}
"""
_SEEDING = """\
    if (ME == RECORDER) {
      $seed = $at & SEED_MASK;
      if ($request == SEED_NUMBER && !@tree[$seed]) { @tree[$seed] = 1; @born = count(); }
      if ($request == UNSEED_NUMBER && @tree[$seed]) { delete(@tree[$seed]); @died = count(); }
    }
"""
_EXIT = """\
tracepoint:syscalls:sys_exit_ioctl /@call[ME].0/ {
  $call = @call[ME];
  delete(@call[ME]);
  TAKE_WORDS
  $ending = (uint64)FINISHED_ENDING;
  $at = $call.ARGUMENT_COLUMN;
  if ($call.REQUEST_COLUMN > LAST_WITHOUT_STRUCTURE &&
      ((ALL_WORDS) == 0 || ($at & OFFSET_MASK) > LAST_WHOLE)) {
    $ending = (uint64)UNSURE_ENDING;
    READ_AGAIN
  }
  $result = (int64)args->ret;
  STORE
}
tracepoint:sched:sched_process_exit /@call[ME].0/ {
  $call = @call[ME];
  delete(@call[ME]);
  TAKE_WORDS
  $ending = (uint64)UNFINISHED_ENDING;
  $result = (int64)0;
  STORE
}
"""
_STORE = "if (@filling) { @b[ME, nsecs] = COLUMNS; } else { @a[ME, nsecs] = COLUMNS; }"
_TREE = """\
BEGIN { @tree[(uint64)RECORDER] = 1; }
tracepoint:sched:sched_process_fork /@tree[ME]/ {
  @tree[(uint64)args->child_pid] = 1; @born = count();
}
tracepoint:sched:sched_process_exec {
  $before = (uint64)args->old_pid;
  if ($before != ME && @tree[$before]) { delete(@tree[$before]); @tree[ME] = 1; }
}
tracepoint:sched:sched_process_exit /@tree[ME]/ { delete(@tree[ME]); @died = count(); }
"""
# @died first: a thread that forks and ends in between must not make the tree look empty
_TICK = """\
interval:ms:TICK_MS {
  if (!@busy[0]) {
    if (@full) {
      @full = 0;
      @busy[0] = 1;
      if (@filling) { print(@a); clear(@a); } else { print(@b); clear(@b); }
      clear(@busy);
      PRINT_COUNTS
    } else {
      @full = 1;
      @filling = 1 - @filling;
    }
  }
}
"""


def mark(nonce: int, number: int) -> int:
    """The argument of a mark."""
    return (RECORDERS << NONCE_BITS | nonce) << MARK_BITS | number


def seed(tid: int) -> int:
    """The argument of a call that is about a thread."""
    return RECORDERS << NONCE_BITS + MARK_BITS | tid


def script(recorder_tid: int, nonce: int, *, system: bool) -> str:
    """The script: for all processes, or for those that descend from the recorder's thread or from
    seeds.
    """
    words = [f"$w{at}" for at in range(WORDS)]
    first = ENTRY.index("word0")
    reads = [f"*(uint64*)uptr($at + {8 * at})" for at in range(WORDS)]
    columns = (
        [f"$call.{at}" for at in range(first)]
        + words
        + [f"$call.{at}" for at in range(first + WORDS, len(ENTRY))]
    )
    first_reads = [f"{word} = {read};" for word, read in zip(words, reads)]
    again = [f"if ({word} == 0) {{ {word} = {read}; }}" for word, read in zip(words, reads)]
    pieces = {
        "STORE": _STORE,
        "COLUMNS": f"({', '.join(columns)}, $result, nsecs, $ending)",
        "MEMORY_CALL": _is_memory_call(),
        "FOLLOWED": "1" if system else "@tree[ME]",
        "SEEDING": "" if system else _SEEDING,
        "PRINT_COUNTS": "print(@entered);" + ("" if system else " print(@died); print(@born);"),
        "ZERO_WORDS": " ".join(f"{word} = (uint64)0;" for word in words),
        "READ_WORDS": "\n        ".join(first_reads),
        "WORDS_READ": ", ".join(words),
        "READ_AGAIN": "\n    ".join(again),
        "TAKE_WORDS": " ".join(f"{word} = $call.{first + at};" for at, word in enumerate(words)),
        "ALL_WORDS": " | ".join(words),
        "OFFSET_MASK": str(PAGE_BYTES - 1),
        "LAST_WHOLE": str(LAST_WHOLE),
        "MARK_NUMBER": f"{MARK:#x}",
        "MARK_BITS": str(MARK_BITS),
        "MARK_MASK": str((1 << MARK_BITS) - 1),
        "NONCE": str(mark(nonce, 0) >> MARK_BITS),
        "BITS_BELOW_RECORDERS": str(NONCE_BITS + MARK_BITS),
        "RECORDERS_BEGIN": str(RECORDERS),
        "SEED_MASK": str((1 << NONCE_BITS) - 1),
        "UNSEED_NUMBER": f"{UNSEED:#x}",
        "SEED_NUMBER": f"{SEED:#x}",
        "UNFINISHED_ENDING": str(UNFINISHED),
        "FINISHED_ENDING": str(FINISHED),
        "UNSURE_ENDING": str(UNSURE),
        "ARGUMENT_COLUMN": str(ENTRY.index("argument")),
        "REQUEST_COLUMN": str(ENTRY.index("request")),
        "LAST_WITHOUT_STRUCTURE": "0xffff",
        "TICK_MS": str(TICK_MS),
        "RECORDER": str(recorder_tid),
        "ME": "(uint64)tid",
    }
    # in this order: pieces hold names of later ones, and names parts of other names
    # what is to be done at a thread's end for its call comes before the tree forgets the thread
    text = _ENTER + _EXIT + ("" if system else _TREE) + _TICK
    for name, piece in pieces.items():
        text = text.replace(name, piece)
    return text


def _is_memory_call() -> str:
    """A condition on the request: as in the filter of `seccomp`, most ioctls of a VMM are told
    apart first.
    """
    left_out = [f"$request != {call.request():#x}" for call in LEFT_OUT]
    exact = [f"$request == {request:#x}" for request in sorted(REQUESTS)]
    any_size = [f"($request & 0xffff) == {request:#x}" for request in sorted(ANY_SIZE)]
    kvm = f"($request & 0xff00) == {KVMIO << 8:#x}"
    return " && ".join([kvm, *left_out, f"({' || '.join(exact + any_size)})"])
