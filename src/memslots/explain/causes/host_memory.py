"""Memory of the host and what backs the guest."""

from __future__ import annotations

from .cause import Cause

CAUSES = (
    Cause(
        "host-memory-exhausted",
        "The host cannot give the guest its memory.",
        calls="mmap:ENOMEM",
        names="cannot set up guest memory; cannot allocate guest memory; failed to allocate guest "
        "memory; failed to allocate .. guest memory; guest memory .. enomem; mmap .. guest .. "
        "enomem; memory region .. mmap .. enomem; unable to allocate .. guest memory; could "
        "not allocate guest memory; out of memory allocating guest; create guest memory .. "
        "enomem; ram .. mmap failed .. enomem; allocat~ .. bytes .. enomem; memory allocation "
        "failed .. guest; mmap failed enomem; mmap .. enomem; could not allocate memory for the "
        "guest; allocate memory for the guest .. fail~; unable to allocate memory for the guest",
        supports="swap; free m; ram",
        against="hugepages; huge pages; hugetlb; vfio; backing store; max map count; kvm create "
        "vm; "
        "ulimit v; create vm",
        seen="\"cannot set up guest memory 'pc.ram': Cannot allocate memory\", ENOMEM from mmap of "
        "guest RAM. Against it: hugetlb paths, -12 from VFIO.",
        decides="free memory and overcommit at that moment.",
        next="`free -m; sysctl vm.overcommit_memory; grep -i commit /proc/meminfo`.",
        kernels="mmap, before KVM is asked.",
        is_general=True,
    ),
    Cause(
        "host-overcommit",
        "The mapping is refused by overcommit accounting, not for want of pages.",
        calls="mmap:ENOMEM",
        names="overcommit .. enomem; vm overcommit memory .. 2; enomem .. overcommit; committed "
        "as; "
        "commitlimit; commit limit; mmap null .. map private map anonymous 1 0 1 enomem; unable to "
        "map backing store .. enomem",
        supports="overcommit; swap; commit; map private; map anonymous",
        against="mem lock; vfio; map noreserve; hugetlb; max map count",
        seen="ENOMEM from one large mmap without MAP_NORESERVE.",
        decides="vm.overcommit_memory (2: always counted; 0: obvious excess refused).",
        next="`sysctl vm.overcommit_memory vm.overcommit_ratio`.",
        kernels="mode 0 refuses a single mapping larger than RAM and swap.",
    ),
    Cause(
        "host-oom-killer",
        "The OOM killer ended the VMM.",
        names="killed process; oom kill; oom killer; invoked oom killer; oom reaper; exit status "
        "137; exit code 137; signal killed .. memory; out of memory kill process; oomkilled",
        supports="anon rss; reason crashed; signal 9",
        against="memory cgroup out of memory; oomkilled",
        seen='"Out of memory: Killed process", "oom-kill:", exit status 137, "shutting down, '
        'reason=crashed" with nothing else.',
        decides="the kernel log.",
        next="`journalctl -k -g 'Killed process|oom-kill' -n 20`.",
        kernels='with a cgroup the line says "Memory cgroup out of memory".',
    ),
    Cause(
        "memory-cgroup-limit",
        "The cgroup's memory limit, not the host's memory.",
        names="memory cgroup out of memory; oomkilled; memory max .. enomem; memory limit .. "
        "cgroup; cgroup .. memory limit; memory events .. oom; memcg .. limit; memory limit "
        "in bytes; task in .. killed as a result of limit of; constraint memcg; memorymax",
        supports="kubelet; pod; container; docker; systemd run; memory max",
        against="set user memory region .. enomem",
        seen='"Memory cgroup out of memory", memory.max, Kubernetes OOMKilled, ENOMEM on a host '
        "with plenty free.",
        decides="memory.max and memory.events.",
        next="`cat /sys/fs/cgroup/$(cut -d: -f3 /proc/PID/cgroup)/memory.{max,events}`.",
        kernels="KVM's own allocations of a slot are charged since 5.1.",
    ),
    Cause(
        "address-space-rlimit",
        "RLIMIT_AS is smaller than the guest.",
        calls="mmap:ENOMEM",
        names="ulimit v; rlimit as .. enomem; enomem .. rlimit as; rlimit as; limitas; max "
        "address space",
        supports="virtual memory; limits conf",
        against="ulimit l",
        seen="ENOMEM from mmap; `ulimit -v` in the paste.",
        decides="the limit.",
        next="`prlimit --pid PID --as`.",
        kernels="all.",
    ),
    Cause(
        "max-map-count",
        "Too many mappings in one process.",
        calls="mmap:ENOMEM mprotect:ENOMEM madvise:ENOMEM",
        names="max map count; number of mappings; too many mappings; maps 65530; maps 65531; wc l "
        ".. maps",
        supports="65530; 65531; map fixed; mprotect; madvise",
        seen="ENOMEM from mmap, mprotect or madvise with many small regions; gVisor, virtio-mem "
        "with many blocks.",
        decides="lines of /proc/PID/maps against vm.max_map_count (65530).",
        next="`wc -l /proc/PID/maps; sysctl vm.max_map_count`.",
        kernels="all.",
    ),
    Cause(
        "kernel-memory-for-slot",
        "The kernel cannot allocate a slot's own tables (rule allocation-failed).",
        calls="KVM_SET_USER_MEMORY_REGION:ENOMEM KVM_SET_USER_MEMORY_REGION2:ENOMEM",
        names="set user memory region .. enomem; set user memory region2 .. enomem; page "
        "allocation "
        "failure .. kvm; vzalloc .. kvm; kvm alloc memslot metadata; kvmalloc .. memslot; "
        "error registering slot .. enomem",
        supports="memory max; dmesg; cgroup",
        against="hugepages; loongarch; riscv",
        seen="ENOMEM from the region call itself on x86 (riscv, loongarch and powerpc have rules "
        "with this errno).",
        decides="what the tables cost, cgroup limit, kernel log.",
        next="`memslots cost FILE; dmesg | grep -i -A3 'allocation failure'`.",
        kernels="charged to the cgroup since 5.1; with the TDP MMU reverse maps are made only when "
        "they are needed (since 5.14).",
        is_general=True,
    ),
    Cause(
        "memlock-limit",
        "RLIMIT_MEMLOCK.",
        calls="mlock:ENOMEM mlockall:ENOMEM mlock:EPERM mlock:EAGAIN",
        names="locking memory failed; cannot limit locked memory; mlock .. enomem; mlockall .. "
        "enomem; mlock .. eperm; mem lock on .. failed; failed to lock memory; failed to "
        "mlock; unable to lock .. memory; realtime mlock .. failed; mlock .. eagain; could "
        "not lock memory; lock guest memory .. failed; memory locking limit; rlimit memlock "
        ".. exceed~; locked memory limit",
        supports="ulimit l; memlock; mem lock; locked",
        against="vfio; iommu; sev",
        seen='"locking memory failed", "cannot limit locked memory", mlock ENOMEM, `ulimit -l`.',
        decides="the limit against guest memory.",
        next="`prlimit --pid PID --memlock; ulimit -l`.",
        kernels="default 64 KiB before 5.16, 8 MiB since.",
    ),
    Cause(
        "hugepages-missing",
        "There are fewer free huge pages than the guest needs, so it does not start.",
        calls="mmap:ENOMEM",
        names="unable to map backing store for guest ram .. enomem; insufficient free host memory "
        "pages; not enough free huge pages; not enough huge pages; no free huge pages; "
        "hugetlb .. enomem; huge pages .. enomem; hugepages .. enomem; enomem .. hugepages; "
        "enomem .. huge pages; map hugetlb .. enomem; hugepages are not available; "
        "insufficient huge pages; insufficient hugepages; free huge pages .. need~; not "
        "enough hugepages; hugetlbfs .. enomem; huge page .. allocat~ .. fail~; cannot "
        "allocate huge page; enomem .. map hugetlb; reserve .. huge pages .. fail~; dev "
        "hugepages .. enomem; hugepage .. enomem",
        supports="hugepages free 0; hugepages total 0; hugepages free; dev hugepages; hugetlb on; "
        "hugepagesize; hugepages; nr hugepages",
        against="kvm run failed; bus error; sigbus; vcpu .. efault",
        seen='"unable to map backing store for guest RAM: Cannot allocate memory", "Insufficient '
        'free host memory pages", /dev/hugepages or hugetlb=on in the command line.',
        decides="HugePages_Free of the page size and the NUMA node.",
        next="`grep -H . /sys/kernel/mm/hugepages/*/free_hugepages "
        "/sys/devices/system/node/node*/hugepages/*/free_hugepages`.",
        kernels="mmap of hugetlb reserves at once unless MAP_NORESERVE.",
    ),
    Cause(
        "hugetlb-length-unaligned",
        "A length that is no multiple of the huge page size.",
        calls="ftruncate:EINVAL mmap:EINVAL",
        names="shared file set len .. einval; set len .. einval; ftruncate .. einval; must be "
        "equal "
        "to or larger than page size; must be multiple of page size; not a multiple of .. "
        "huge page; not a multiple of .. hugepage; hugetlbfs .. einval; huge page size .. "
        "einval; hugepage size .. einval; map hugetlb .. einval; size .. multiple of .. huge; "
        "must be a multiple of the huge; memory size .. aligned .. huge page; hugetlb .. "
        "einval; multiple of the hugepage size; memory size .. hugepage .. multiple",
        supports="hugepages; hugetlb; hugepage size",
        against="seal",
        seen='EINVAL from ftruncate or mmap of a hugetlbfs file, "must be equal to or larger than '
        'page size", SharedFileSetLen, hugepage_size=.',
        decides="length modulo page size.",
        next="`ls /sys/kernel/mm/hugepages; stat -f -c %S /dev/hugepages`.",
        kernels="hugetlbfs, all. KVM only asks for 4 KiB.",
    ),
    Cause(
        "mmap-arguments",
        "mmap itself refused its arguments; KVM was not asked.",
        calls="mmap:EINVAL",
        names="cannot mmap einval; mmap einval; mmap failed einval; mmap .. einval; einval .. mmap",
        supports="offset; length; map fixed; snapshot; file",
        against="hugetlb; hugepage; huge page",
        seen='EINVAL beside the word mmap: "Cannot mmap: Invalid argument", MmapRegion(Mmap(22)).',
        decides="length (0, or too long for the address space), the file offset modulo the page, "
        "the address with MAP_FIXED.",
        next="`strace -f -e trace=mmap,ftruncate COMMAND 2>&1 | grep EINVAL`.",
        kernels="all; a file of no bytes and an offset inside a page are the usual ones.",
        is_general=True,
    ),
    Cause(
        "backing-file-too-short",
        "The file is shorter than the memory to be mapped from it, and the VMM notices.",
        names="backing store size .. does not match; backing store size .. is too small; "
        "mapping past eof; past the end of the file; "
        "file is too short; file too small; backing file .. smaller than; backing store .. "
        "smaller; file size .. smaller than .. memory; snapshot file .. too short; memory "
        "file .. truncated; is smaller than the .. size; file .. shorter than",
        supports="snapshot; restore; mem path; nvdimm; pmem",
        against="kvm run",
        seen="\"backing store size ... does not match 'size' option\", MappingPastEof. Against it: "
        "EFAULT at run: run-efault-backing-truncated.",
        decides="the file's length against offset + size.",
        next="`stat -c '%s %n' FILE`.",
        kernels="mmap past the end is accepted; the access fails.",
    ),
    Cause(
        "backing-file-missing",
        "The path of the backing does not exist.",
        names="can t open backing store .. enoent; cannot open backing store .. enoent; backing "
        "file .. enoent; open .. mem path .. enoent; memory file .. enoent; mem path .. "
        "enoent; hugetlbfs not mounted; hugetlbfs .. not mounted; backing .. enoent; could "
        "not find .. hugetlbfs mount; hugetlbfs mount .. not found; hugetlbfs filesystem is "
        "not mounted; hugepages .. enoent",
        supports="hugepages; mem path; mnt huge",
        against="dev kvm .. enoent",
        seen='"can\'t open backing store PATH for guest RAM: No such file or directory".',
        decides="the path; is hugetlbfs mounted?",
        next="`mount -t hugetlbfs; ls -ld PATH`.",
        kernels="open(2).",
    ),
    Cause(
        "backing-file-permission",
        "The VMM's user may not use the path of the backing.",
        names="can t open backing store .. eacces; cannot open backing store .. eacces; backing "
        "file .. eacces; mem path .. eacces; failed to create .. memory backing .. eacces; "
        "hugepages .. eacces; backing store .. eacces; backing .. eperm; memory file .. "
        "eacces; dev shm .. eacces; hugetlbfs .. eacces; dev hugepages .. eacces",
        supports="mem path; hugepages; ls lz",
        against="dev kvm .. eacces",
        seen='"can\'t open backing store ...: Permission denied".',
        decides="owner and mode, SELinux label.",
        next="`ls -ldZ PATH; id`.",
        kernels="open(2).",
    ),
    Cause(
        "backing-file-unsupported",
        "The file cannot be mapped shared.",
        calls="mmap:ENODEV mmap:EOPNOTSUPP",
        names="mmap .. enodev; mmap .. eopnotsupp; guest memfd .. enodev; enodev .. mmap; guest "
        "memfd .. cannot be mapped; mmap .. of a guest memfd; mmap guest memfd; file system "
        ".. does not support mmap",
        supports="guest memfd; map shared; fuse",
        against="vfio; dev kvm",
        seen="ENODEV from mmap of guest_memfd, of a FUSE file, of a device.",
        decides="kind of the file.",
        next="`stat -f -c %T FILE`.",
        kernels="guest_memfd can be mapped from 6.18 on and only with GUEST_MEMFD_FLAG_MMAP.",
    ),
    Cause(
        "tmpfs-full",
        "No space in tmpfs or on the file system when memory is allocated beforehand.",
        calls="fallocate:ENOSPC ftruncate:ENOSPC posix_fallocate:ENOSPC write:ENOSPC",
        names="dev shm .. enospc; enospc .. dev shm; fallocate .. enospc; prealloc .. enospc; "
        "preallocate .. enospc; memory backend .. enospc; tmpfs .. enospc; enospc .. tmpfs; "
        "memfd .. enospc; snapshot .. enospc; mem path .. enospc; guest ram .. enospc; dev "
        "shm .. full; hugetlbfs .. enospc; backing .. enospc",
        supports="df h; 100 dev shm; prealloc; dev shm; tmpfs",
        against="vfio; ioevent~; dma; kvm run failed; fault",
        seen="ENOSPC (28) with /dev/shm, prealloc=on, fallocate. Against it: VFIO or ioeventfd.",
        decides="df.",
        next="`df -h /dev/shm`.",
        kernels="without preallocation the same shows as SIGBUS or run-efault-tmpfs-full.",
    ),
    Cause(
        "mmap-permission",
        "The mapping asks for more than the descriptor allows.",
        calls="mmap:EACCES mmap:EPERM mprotect:EACCES",
        names="mmap .. eacces; register memory .. eacces; map failed .. eacces; mmap .. eperm; "
        "eacces .. mmap; map shared .. eacces; mprotect .. eacces; map blob .. eacces; read "
        "only file .. eacces; mapping .. eacces; mmap region .. eacces; failed to map .. "
        "eacces",
        supports="prot write; o rdonly; readonly; read only; gpu; blob",
        against="dev kvm; backing store; create guest memfd",
        seen="EACCES from mmap of a read-only file as writable, register_memory: Permission "
        "denied, MapFailed EACCES.",
        decides="open flags of the file against PROT_WRITE.",
        next="`strace -f -e trace=openat,mmap COMMAND 2>&1 | grep EACCES`.",
        kernels="all; a read-only mapping needs a slot with KVM_MEM_READONLY.",
    ),
    Cause(
        "numa-policy",
        "A NUMA call failed: mbind, get_mempolicy, set_mempolicy.",
        calls="mbind:EINVAL mbind:EIO get_mempolicy:EINVAL set_mempolicy:EINVAL mbind:EPERM "
        "mbind:ENOSYS",
        names="mbind .. failed; mbind .. einval; mbind .. eperm; mbind .. eio; mbind .. enosys; "
        "get "
        "mempolicy; set mempolicy; cannot bind memory to host numa nodes; bind memory .. numa "
        "nodes; host nodes .. einval; numa node .. not available; apply numa policy; numa "
        "policy .. failed; node mask; nodeset .. unavailable",
        supports="numa; nodes; maxnode; host nodes; policy bind",
        seen='their names; "cannot bind memory to host NUMA nodes".',
        decides="nodes online, length of the node mask.",
        next="`numactl -H; cat /sys/devices/system/node/online`.",
        kernels="EINVAL if the mask is shorter than the highest node (maxnode), as in a selftest "
        "of "
        "6.19-rc on machines with many nodes.",
    ),
    Cause(
        "numa-sum-mismatch",
        "Sizes on the command line contradict each other: RAM, its backend, NUMA nodes, maxmem.",
        names="total memory for numa nodes .. should equal ram size; numa nodes .. should equal; "
        "numa .. sum of .. memory; memory sizes of all nodes .. not equal; numa .. does not "
        "match .. ram size; numa .. memory .. does not add up; numa .. invalid .. total; machine "
        "memory size does not match; maximum memory size .. must be at least; invalid value of "
        "maxmem; maximum memory size must by aligned; maximum memory size must be aligned; "
        "exceeds the number of numa nodes; size .. doesn t take value 0; machine option .. "
        "expects size",
        supports="numa; node",
        seen='"total memory for NUMA nodes (A) should equal RAM size (B)", "Machine memory size '
        'does not match the size of the memory backend".',
        decides="the numbers.",
        next="correct `-m`, `-object` or `-numa`; nothing was asked of KVM.",
        kernels="none.",
    ),
    Cause(
        "memory-poisoned",
        "The hardware reported an uncorrected error in a page of the guest.",
        names="memory failure; hardware memory corruption; ehwpoison; hwpoison~; bus mceerr; mce "
        ".. "
        "hardware error; uncorrected .. memory error; uncorrectable .. memory error; memory "
        "error at; edac .. ue; hardware memory error; machine check .. memory; guest mce "
        "memory error; sigbus .. mce~; uncorrected error .. memory; hardware poisoned; ghes "
        ".. memory error",
        supports="mce; edac; sigbus; hardware error",
        seen='"Memory failure: 0x...", "hardware memory corruption", mce, EHWPOISON (133), '
        "SIGBUS code BUS_MCEERR_AR.",
        decides="the kernel log.",
        next="`journalctl -k -g 'Memory failure|mce|EDAC' -n 20`.",
        kernels="KVM_RUN is EFAULT or EHWPOISON, or the vCPU's thread gets SIGBUS.",
    ),
)
"""In no order: what a paste says ranks them."""
