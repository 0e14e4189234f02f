"""KVM_RUN that ends with an errno."""

from __future__ import annotations

from .cause import Cause

CAUSES = (
    Cause(
        "run-efault-host-memory",
        "EFAULT of KVM_RUN without more: a slot exists and the host memory behind it cannot be "
        "used.",
        calls="KVM_RUN:EFAULT",
        names="kvm run failed efault; kvm run .. efault; vcpu run .. efault; vcpu .. error .. "
        "efault; running vcpu .. efault; run vcpu .. efault; vcpu .. efault; run failed .. "
        "efault; run .. ioctl .. efault",
        supports="mappings; smaps",
        against="set user memory region .. efault",
        seen='"kvm run failed Bad address", os error 14 from vcpu run. Against it: EFAULT from '
        "the region call.",
        decides="what lies at the slot's host address at that moment.",
        next="`memslots record --mappings -o vmm.rec -- COMMAND; grep -A1 HVA /proc/PID/smaps; df "
        "-h /dev/shm; dmesg | tail -n 40`.",
        kernels="since 6.8 struct kvm_run says gpa and size (KVM_EXIT_MEMORY_FAULT beside -1 "
        "EFAULT).",
        is_general=True,
    ),
    Cause(
        "run-efault-backing-truncated",
        "The file behind the slot is shorter than the slot (truncated, copied halfway, punched).",
        calls="KVM_RUN:EFAULT",
        names="ftruncate .. kvm run .. efault; truncat~ .. efault; shrink .. efault; shrank .. "
        "efault; punch~ .. efault; shorter than .. efault; efault .. truncat~; truncat~ .. "
        "sigbus; sigbus .. truncat~; copied halfway .. efault; sparse .. efault; file .. "
        "smaller .. efault; efault .. ftruncate; efault .. shorter; efault .. file size",
        supports="ftruncate; truncat~; shrink; punch hole; file size; snapshot; partial~; memory "
        "file; memfd",
        against="dev shm .. 100; uffd; tmpfs .. full",
        seen="EFAULT or SIGBUS at a place in the guest that depends on how far memory is touched; "
        "a file size in the paste smaller than the guest.",
        decides="length of the file against the slot.",
        next="`stat -c '%s %n' FILE; grep FILE /proc/PID/maps`.",
        kernels="all.",
    ),
    Cause(
        "run-efault-tmpfs-full",
        "Guest RAM lies in a tmpfs or memfd whose file system or cgroup is full.",
        calls="KVM_RUN:EFAULT",
        names="dev shm .. efault; efault .. dev shm; tmpfs .. efault; efault .. tmpfs; memfd .. "
        "full .. efault; shm .. 0 100; shm .. full .. efault",
        supports="dev shm; tmpfs; 100; df h; share on; mem path dev shm; several vms; shmem",
        seen='EFAULT "after a while", mem-path=/dev/shm, Use% 100, several VMs.',
        decides="df at the moment of the failure.",
        next="`df -h /dev/shm; grep -i shmem /proc/meminfo`.",
        kernels="all.",
    ),
    Cause(
        "run-efault-hugepages-exhausted",
        "Huge pages run out when the guest touches its memory (no preallocation, MAP_NORESERVE, "
        "hugetlb cgroup).",
        calls="KVM_RUN:EFAULT",
        names="hugepages free 0 .. efault; efault .. hugepages free 0; bus error .. hugepages free "
        "0; hugepages .. bus error; hugetlb .. bus error; hugepages .. sigbus; hugetlb .. "
        "sigbus; hugepages .. efault; efault .. hugepages; hugetlb .. efault; efault .. "
        "hugetlb; bus error .. hugepages; hugetlb cgroup .. efault; huge pages .. efault; "
        "efault .. huge pages; huge pages .. bus error; huge pages .. sigbus",
        supports="hugepages free 0; hugepages free; hugepages on; hugetlb on; map noreserve; "
        "prealloc off; bus error",
        seen='EFAULT or "Bus error" with hugepages=on and HugePages_Free: 0.',
        decides="free huge pages when it fails; hugetlb.*.max.",
        next="`grep Huge /proc/meminfo`.",
        kernels="all.",
    ),
    Cause(
        "run-efault-device-memory",
        "The slot maps device memory (GPU blob, BAR) whose pages KVM could not reference.",
        calls="KVM_RUN:EFAULT",
        names="vulkan .. efault; venus .. efault; virtio gpu .. efault; efault .. virtio gpu; blob "
        ".. efault; hostmem .. efault; native context .. efault; amdgpu .. efault; i915 .. "
        "efault; gpu .. efault; vkcube .. efault; efault .. vulkan; efault .. blob; host "
        "visible .. efault",
        supports="blob; venus; vulkan; hostmem; amdgpu; i915; xe; virgl; virtio gpu; virtio vga; "
        "native context; nvidia; gpu",
        against="fsdax; dev shm",
        seen="virtio-gpu blob, venus, native context, hostmem=, amdgpu, i915, EFAULT at the first "
        "access of a host-visible allocation.",
        decides="release of the host.",
        next="`uname -r`; 6.13 or later.",
        kernels="valid pages without a reference count are refused from 5.13 (and stable) up to "
        "6.12; "
        "since 6.13 KVM no longer takes references of PFNMAP memory.",
    ),
    Cause(
        "run-efault-pfnmap-arm64",
        "arm64: a dma-buf (PFNMAP) mapping without a writable entry in the host's page table; "
        "the guest's write ends KVM_RUN with EFAULT.",
        calls="KVM_RUN:EFAULT",
        names="aarch64 .. muvm; muvm .. aarch64; krun devices virtio gpu .. efault; arm64 .. "
        "pfnmap; pfnmap .. arm64; dma buf .. arm64 .. efault; muvm .. efault; libkrun .. "
        "aarch64 .. venus; asahi .. efault",
        supports="aarch64; arm64; asahi; muvm; libkrun; venus; 7 1; 7 2; dma buf; krun devices; "
        "mapping host addr",
        against="x86 64; 6 12; 6 6; 6 1",
        seen='arm64 and 7.0 to 7.2, libkrun or muvm, Venus or DRM native context, "mapping: '
        'host_addr=", works with older kernels or software rendering.',
        decides="does 7.0 or older work with the same user space?",
        next="`uname -r`, try a kernel older than 7.1 or with the fix; the VMM can touch the "
        "mapping for writing once.",
        kernels="reports: 7.0.13 works, 7.1.5 and 7.2.2 do not; a fix was posted in August 2026.",
    ),
    Cause(
        "run-efault-fsdax",
        "Guest RAM is a file on FSDAX pmem with 2 MiB entries.",
        calls="KVM_RUN:EFAULT",
        names="fsdax; kvm is zone device page; try grab folio; pmem .. efault; dax .. efault; "
        "efault .. pmem; efault .. dax",
        supports="pmem; dax; ndctl; nvdimm; memmap; 2m; align 2097152",
        seen='mem-path on pmem, fsdax, "kvm_is_zone_device_page", "try_grab_folio" warnings.',
        decides="release between 5.16 and 6.12.",
        next="`uname -r; ndctl list -N`; devdax or 6.13.",
        kernels="5.16 to 6.12 affected.",
    ),
    Cause(
        "run-efault-vfio-bar",
        "The BAR behind the slot cannot be faulted in: memory decoding off, device in reset "
        "or D3, BAR placed where the IOMMU or host cannot reach.",
        calls="KVM_RUN:EFAULT",
        names="vfio pci mmap fault; vfio pci mmap huge fault; vfio .. memory decode .. disabled; "
        "bar .. cannot be mapped; vfio .. efault .. bar; pass through .. efault; passthrough "
        ".. efault; efault .. vfio pci; vfio pci .. kvm run .. efault; vfio pci .. resetting "
        ".. efault; vfio .. d3 .. efault",
        supports="vfio pci; bar; d3; reset; passthrough; hostdev; lspci",
        against="vfio dma map",
        seen='"vfio_pci_mmap_fault", "vfio_pci_mmap_huge_fault ... 0x1 or 0x2" in dmesg beside '
        "EFAULT of KVM_RUN.",
        decides="PCI_COMMAND of the device, the fault's code.",
        next="`journalctl -k -g vfio -n 30; lspci -vv -s BDF | grep -e Control -e Region`.",
        kernels="faults of disabled BARs are SIGBUS since 5.8; huge faults since 6.12.",
    ),
    Cause(
        "run-efault-unmapped",
        "The host memory of a registered slot was unmapped or protected by the VMM itself.",
        calls="KVM_RUN:EFAULT",
        names="munmap .. efault; munmap .. kvm run; mprotect .. efault; madvise .. efault; balloon "
        ".. efault; mremap .. efault; prot none .. efault; madv dontfork .. efault; efault .. "
        "munmap; efault .. unmap~; unmapped .. efault; efault .. madvise; fork .. efault; "
        "unmap .. efault; efault .. mprotect; dontneed .. efault; freed .. efault",
        supports="munmap; mprotect; balloon; madvise; mremap; still registered; prot none",
        against="truncat~; hugepages free 0",
        seen="munmap, madvise, mprotect, balloon, mremap in the text; MADV_DONTFORK, PROT_NONE.",
        decides="munmap of the slot's range before the failure.",
        next="`memslots record --mappings -o vmm.rec -- COMMAND`; delete the slot first, then "
        "unmap.",
        kernels="the slot stays; the next access fails.",
    ),
    Cause(
        "run-efault-userfaultfd",
        "A userfaultfd handler does not answer or went away.",
        calls="KVM_RUN:EFAULT",
        names="uffd .. efault; userfaultfd .. efault; page fault handler .. efault; efault .. "
        "uffd; "
        "efault .. userfaultfd; uffd handler; page fault handler .. crash~; page fault "
        "handler .. panicked; uffd .. hang~; postcopy .. efault; page fault handler .. exit~",
        supports="uffd; backend type; snapshot; postcopy; page fault handler; restore",
        against="userfaultfd .. eperm",
        seen='UFFD, post-copy, snapshot restore, "Page fault handler", a hang before EFAULT.',
        decides="is the handler process alive, does it answer the address?",
        next="`ls -l /proc/PID/fd | grep userfaultfd; ps -p HANDLER`.",
        kernels="SIGBUS instead of a hang with UFFD_FEATURE_SIGBUS.",
    ),
    Cause(
        "run-memory-fault-conversion",
        "KVM_EXIT_MEMORY_FAULT (39): guest and VMM disagree whether a page is private.",
        calls="KVM_RUN:MEMORY_FAULT",
        names="kvm exit memory fault; memory fault flags; exit reason 39; unhandled .. memory "
        "fault; exit memory fault; vcpu exit memory fault; memory fault gpa; memory fault .. "
        "private",
        supports="private; snp; tdx; sw protected; guest memfd; shared",
        against="unknown exit reason 39",
        seen="`MemoryFault { flags: 8, gpa, size }`, exit reason 39, SNP, TDX, SW_PROTECTED.",
        decides="flag 8 says that the guest wants it private; the attributes of the range.",
        next="`memslots record -o vmm.rec -- COMMAND` and look at KVM_SET_MEMORY_ATTRIBUTES of "
        "that gpa.",
        kernels="since 6.8; the VMM answers with KVM_SET_MEMORY_ATTRIBUTES.",
    ),
    Cause(
        "run-enomem-worker",
        "ENOMEM of the first KVM_RUN: a signal interrupted the creation of the NX-huge-page "
        "recovery worker.",
        calls="KVM_RUN:ENOMEM",
        names="kvm run .. enomem; vcpu run .. enomem; run failed .. enomem; running vcpu .. "
        "enomem; "
        "vcpu .. enomem; nx huge page recovery; nx huge pages .. worker; kvm run failed "
        "enomem",
        supports="random~; plenty of free memory; 6 8 0 58; 6 11 0 1015; 6 13; first switch; at "
        "start; sometimes",
        against="create vcpu .. enomem; set user memory region .. enomem",
        seen="KVM_RUN ENOMEM, random, at start, plenty of memory; VMMs that signal vCPU threads "
        "early. Against it: ENOMEM after running for long.",
        decides="exact release.",
        next="`uname -r`; retry the call or the start; update.",
        kernels="came with moving that worker to the first run (6.13, and backports such as Ubuntu "
        "6.8.0-58, 6.11.0-1015-azure); fixed by 916b7f42b3b3 (6.14).",
    ),
    Cause(
        "run-invalid-state",
        "EINVAL of KVM_RUN: the vCPU's state is not valid or a field of kvm_run is.",
        calls="KVM_RUN:EINVAL",
        names="kvm run failed einval; kvm run .. einval; vcpu run .. einval; running vcpu .. "
        "einval; run vcpu .. einval; vcpu .. run .. einval; vcpu .. error .. einval",
        supports="eip; rip; sregs; reset; kvm valid regs; set sregs",
        against="set user memory region; create vcpu",
        seen='"kvm run failed Invalid argument" with a register dump. Against it: memory regions.',
        decides="the sregs that were set, kvm_valid_regs, immediate_exit.",
        next="`dmesg | tail -n 40; strace -f -e trace=ioctl COMMAND 2>&1 | grep -B5 "
        "'KVM_RUN.*EINVAL'`.",
        kernels="x86 refuses unknown kvm_valid_regs or kvm_dirty_regs; also vCPU of a VM whose "
        "confidential set-up is not complete.",
    ),
    Cause(
        "run-vcpu-not-initialized",
        "ENOEXEC (8) or EPERM of KVM_RUN on arm64: KVM_ARM_VCPU_INIT (or FINALIZE for SVE) was "
        "not made.",
        calls="KVM_RUN:ENOEXEC KVM_RUN:EPERM",
        names="kvm run .. enoexec; vcpu run .. enoexec; run .. enoexec; kvm arm vcpu init .. not; "
        "kvm arm vcpu finalize; vcpu .. enoexec; vcpu run .. eperm; kvm run .. eperm; arm "
        "vcpu init",
        supports="aarch64; arm64; set one reg; sve",
        seen='"Exec format error", os error 8.',
        decides="is KVM_ARM_VCPU_INIT in the trace?",
        next="`strace -f -e trace=ioctl COMMAND 2>&1 | grep -c KVM_ARM_VCPU_INIT`.",
        kernels="arm64, all; EPERM if SVE was asked for and not finalised (since 5.2).",
    ),
    Cause(
        "run-arm64-no-syndrome",
        "ENOSYS (38) of KVM_RUN on arm64: the guest accessed an address without a slot with "
        "an instruction whose syndrome the CPU does not give.",
        calls="KVM_RUN:ENOSYS",
        names="load store instruction decoding not implemented; no valid syndrome; kvm run .. "
        "enosys; vcpu run .. enosys; kvm run failed enosys; arm nisv; kvm exit arm nisv; data "
        "abort outside memslots; run .. enosys",
        supports="aarch64; arm64; pc x00; post indexed; ldp; stp",
        against="userfaultfd",
        seen='"load/store instruction decoding not implemented", "Data abort outside memslots with '
        'no valid syndrome info", "Function not implemented".',
        decides="gpa of the access against the slots; guest code with post-indexed or pair "
        "accesses on MMIO.",
        next="`dmesg | grep 'kvm \\['; memslots map FILE`.",
        kernels="text up to 5.4 and since 5.5; KVM_CAP_ARM_NISV_TO_USER (5.5) hands it to the VMM "
        "as exit 28.",
    ),
    Cause(
        "run-interrupted",
        "EINTR or EAGAIN of KVM_RUN: nothing failed.",
        calls="KVM_RUN:EINTR KVM_RUN:EAGAIN",
        names="kvm run .. eintr; vcpu run .. eintr; kvm run .. eagain; vcpu run .. eagain; run .. "
        "eintr; running vcpu .. eintr; kvm run failed eintr",
        supports="signal; immediate exit; sipi",
        against="tdx",
        seen="os error 4 or 11 logged as an error.",
        decides="the errno.",
        next="repeat the call; `strace -f -e signal=all -p PID`.",
        kernels="EAGAIN: vCPU waits for INIT/SIPI (x86).",
    ),
)
"""In no order: what a paste says ranks them."""
