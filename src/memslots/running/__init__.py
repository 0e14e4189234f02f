"""VMs that run already: what KVM really holds of each, read from the kernel without touching any.

    from memslots.running.look import look
    for vm in look():
        print(vm.holders[0].pid, vm.total_pages, vm.slots())

`descriptors` finds the VMs, `kernel_memory` reads the kernel's memory, `btf` and
`kernel_types` say where things lie in it, `kvm_reader` follows struct kvm, and
`snapshot` makes of it the calls that would lead there.  `drgn_vms` reads a dump.
"""
