"""memslots: what KVM answers to a guest-memory call, on any kernel, and why.

Start here:
    Vm              one VM of the model (model/vm.py); every call returns an answer
    find            a kernel profile by name: "6.1/x86_64", "6.12/arm64+16k"
    Region          a region call as a value (uapi/region.py)
    Accepted, Refused, Undetermined, Unmodelled    the answers (rules/answer.py)
    Process, Mapping    what is known of the calling process (state/process.py)
    RefusedError    what `answer.unwrap()` raises: an OSError with the true errno

Map of the package.  A wing imports only what stands above it, a file only what stands before it
in its wing:
    units patterns late errnos errors    numbers; what is compiled or loaded late; errnos; errors
    uapi/             what user space and KVM say to each other; knows no release
        capabilities encoding flags fields calls region state_calls
    kernel/           what is known about kernels; the only wing that knows releases
        arch version evidence fact limits history_arch history_capabilities history profile
        distributions footprint user_range vm_capabilities machine dated_text vendors names asked
    state/            one VM and one process as KVM keeps them; changes, and who makes them
        dirty_bitmap guest_memfd memory_attributes mmu_pages page_total vm_config process slot
        change hva_index mmu_pages_designs set_pairs slot_set apply invariants vm_state
    rules/            every check of every call, in the kernel's order; changes nothing
        attempt region.arch.mips raised answer create_vm fast_path ioctl pre_fault
        region.arch.loongarch region.arch.powerpc region.arch.s390 region.arch.vma region.arch.x86
        region.gmem_bind region.overlap region.same_id dirty_log dirty_ring guest_memfd irqchip
        memory_attributes nr_mmu_pages region.arch.arm64 region.arch.riscv region.arguments
        enable_cap region.arch.hooks check_extension unobserved region.set_memory_region own_slots
        create_vcpu tss_and_identity catalogue decide presence
    model/            descriptors, and `Vm`: decide, carry out
        kvm session slot_lookups vm
    trace/            recordings in, as neutral events
        message_table guest_machine error_texts decode noise mend excerpt event lines command_line
        libvirt_domain bpf jsonl line_numbers qemu strace kernel_warning perf blocks resources
        syzlang c_reproducer clean search passing widths said messages selftest dispatch
        recorded_region recording reader
    replay/           events through the model, step by step
        follow region_of_event step tracked_vm host_places verdict replay
    explain/          why a call was refused, what would pass, what a recording tells
        finding_kinds finding portability vm_summary other_kernels remedies causes.cause
        causes.confidential causes.device causes.firmware causes.host_memory causes.other_calls
        causes.run_errno causes.run_exit causes.vfio causes.vhost causes.vmm rule_signs words facts
        which_kernel advice ranges text_events causes.catalogue rank possibility histories
        hypotheses other_causes unread explain diagnosis known_places watched_vm who_could_look
        findings slot_lives analysis
    check/            layouts on kernels before it happens, and what they cost
        layout.model metadata layout.mtree layout.qemu_machine layout.mistake layout.parse plan cost
        survey
    compare/          what differs between two kernels, and between accounting designs
        words own_design design_faults designs accounting page_total questions difference
    live/             the real /dev/kvm
        answer bitmap libc device host_memory regions known_slots live_vm rerun vcpu host_facts
        probe guest_demo
    running/          VMs that run already, read from the kernel
        running_vm kernel_types btf kernel_memory kvm_reader descriptors snapshot look beside_model
        drgn_vms
    record/           recorders
        calls mappings processes ptrace signals output bpf_script seccomp bpf_output memory
        registers start runs elf backtrace file beginning watching interruptions tracer recorder
        bpf_session bpf
    emulate/          a program on another kernel, calls that fail, no /dev/kvm at all
        emulated_file kvm_files other_capabilities other_kernel hand_out injection words differences
        emulating_tracer faked_cpu faked_calls faking_tracer emulation guest_memory_left
        possible_errors sweep
    verify/           the model beside kernels: recorded answers, live, booted under QEMU
        farm.kernels farm.script recorded.operations recorded.pack recorded.process_memory
        recorded.profiles farm.packages farm.emulator farm.initramfs farm.changelogs farm.dates
        draw_numbers draw pair native shrink verify recorded.operands recorded.player
        recorded.compare farm.own_image farm.boot booted_vm booted farm.rerun farm.__main__
    export/           calls as programs, for people and for other programs
        c_prelude oracle perfetto sequence strace c python vectors
    arrays/           numpy: gfns, dirty bitmaps, guest memory (extra `arrays`)
        extra integers table bitmaps guest_memory lookup translator
    fleet/            thousands of recordings as tables: scan, ask, compare (extra `fleet`)
        schema engines forms host_kernels inputs machines faults generate monitors opened store part
        rows batch shards scan tables changes prometheus ingest units upgrade
    views/            text out
        text spans page_total accounting page_total_review conformance cost questions difference
        live matrix rule_page verify explanation findings guest_map kernel_page steps running
        cause_page address_rows html_look moment_columns svg accounting_plot html_steps
        space_time_cells space_time notebook recorded evidence report html_report completion links
        man_page schemas check_junit check_notes check_annotations check_sarif emulated sweep fleet
        fleet_page html_pages terminal_text watch slot_strip timeline
    cli/              one command a file
        progress example_files harmless record emulate terminal parsers run accounting ask
        conformance cost diff export kernel kernels live main rule rules vectors verify causes
        all_parsers completion example schema shell_files sweep each check recording explain map
        replay timeline report fleet_ask fleet_scan fleet watch_screen watch
    docs pytest_plugin __main__    generated pages; the plugin of pytest; `python -m memslots`
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .errors import MemslotsError, UnknownKernelError
    from .kernel.names import find
    from .kernel.profile import Profile
    from .model.vm import Vm
    from .rules.answer import Accepted, Refused, Undetermined, Unmodelled
    from .rules.raised import RefusedError
    from .state.process import Mapping, Process
    from .state.process import Process as Host
    from .state.slot import Slot
    from .uapi.region import Region
    from .uapi.region import Region as Request

__all__ = [
    "Accepted",
    "Host",
    "Mapping",
    "MemslotsError",
    "Process",
    "Profile",
    "Refused",
    "RefusedError",
    "Region",
    "Request",
    "Slot",
    "Undetermined",
    "UnknownKernelError",
    "Unmodelled",
    "Vm",
    "__version__",
    "find",
]

# Names are loaded when first asked for, so that `memslots --help` loads no model.
_HOMES = {
    "Accepted": "rules.answer",
    "Mapping": "state.process",
    "MemslotsError": "errors",
    "Process": "state.process",
    "Profile": "kernel.profile",
    "Refused": "rules.answer",
    "RefusedError": "rules.raised",
    "Region": "uapi.region",
    "Slot": "state.slot",
    "Undetermined": "rules.answer",
    "UnknownKernelError": "errors",
    "Unmodelled": "rules.answer",
    "Vm": "model.vm",
    "find": "kernel.names",
}
_EARLIER_NAMES = {"Host": "Process", "Request": "Region"}


def __getattr__(name: str) -> object:
    today = _EARLIER_NAMES.get(name, name)
    home = _HOMES.get(today)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), today)
    globals()[name] = value
    return value
