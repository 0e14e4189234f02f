"""The device and the module: why there is no VM at all."""

from __future__ import annotations

from .cause import Cause

CAUSES = (
    Cause(
        "kvm-device-missing",
        "There is no /dev/kvm: the module is not loaded, the processor or the outer "
        "hypervisor offers no virtualisation, or a container has not been given the node.",
        calls="open:ENOENT open:ENODEV open:ENXIO",
        names="could not access kvm kernel module enoent; could not access kvm kernel module "
        "enodev; dev kvm .. enoent; dev kvm .. enodev; dev kvm .. does not exist; dev kvm .. "
        "not found; kvm kernel module .. not loaded; no dev kvm; dev kvm is missing; kvm is "
        "not available on this host; open kvm .. enoent; opening kvm .. enoent; create kvm .. "
        "enoent; enoent .. dev kvm; could not insert kvm",
        supports="modprobe kvm; lsmod grep kvm; nested",
        against="dev kvm .. eacces; dev kvm .. eperm; could not insert kvm .. ebusy; could not "
        "insert kvm .. eopnotsupp; could not insert kvm .. eio",
        seen='ENOENT or ENODEV from opening /dev/kvm; "Could not access KVM kernel module: No '
        'such file or directory".',
        decides="does the node exist on the host?",
        next="`ls -l /dev/kvm; lsmod | grep kvm; dmesg | grep -i -e kvm -e svm -e vmx`.",
        kernels="kvm_intel and kvm_amd load by themselves where the CPU has the feature; arm64's "
        "KVM "
        "is built in and needs a boot at EL2.",
    ),
    Cause(
        "kvm-device-permission",
        "The user may not open /dev/kvm.",
        calls="open:EACCES",
        names="could not access kvm kernel module eacces; dev kvm .. eacces; create kvm .. eacces; "
        "open kvm .. eacces; opening kvm .. eacces; eacces .. dev kvm; kvm file s acl; no "
        "access to dev kvm; not have permission to access .. kvm; user .. not in the kvm "
        "group; cannot access dev kvm; kvm new .. eacces; kvm open .. eacces",
        supports="crw rw root kvm; kvm group; usermod; group kvm; acl",
        against="create guest memfd; avc denied",
        seen='EACCES (13) from opening it; "make sure the user ... has access"; mode 0660 root:kvm '
        "beside it. Against it: EPERM (1) is a device policy instead.",
        decides="owner, group, ACL of the node against the ids of the process; in a container the "
        "*numeric* group.",
        next="`ls -ln /dev/kvm; id; getfacl /dev/kvm`, then `sudo usermod -aG kvm $USER`.",
        kernels="all.",
    ),
    Cause(
        "kvm-device-cgroup",
        "The container's device policy forbids the node although its mode would allow it.",
        calls="open:EPERM",
        names="could not access kvm kernel module eperm; dev kvm .. eperm; create kvm .. eperm; "
        "open kvm .. eperm; eperm .. dev kvm; opening kvm .. eperm",
        supports="docker; container~; lxc; kubernetes; pod; podman; crw rw rw; devices allow; "
        "cgroup",
        against="sev; run kvm .. eperm",
        seen="EPERM from open(/dev/kvm), mode rw for all, docker, LXC, Kubernetes.",
        decides="the device list of the cgroup.",
        next="`docker run --device /dev/kvm ...` (or a device plugin; systemd: "
        "`DeviceAllow=/dev/kvm rw`).",
        kernels="devices cgroup v1, BPF programs with v2 (since 4.15).",
    ),
    Cause(
        "kvm-hardware-disabled",
        "Virtualisation is switched off in the host's firmware, or the CPU lacks it.",
        calls="open:EOPNOTSUPP",
        names="disabled by bios; disabled in bios; disabled by the bios; vmx outside txt disabled; "
        "kvm .. svm .. disabled; modprobe .. kvm intel .. eopnotsupp; modprobe .. kvm amd .. "
        "eopnotsupp; could not insert kvm .. eopnotsupp; could not insert kvm .. eio; cpu doesn t "
        "support vt; cpu does not support kvm; does not support kvm extensions; "
        "virtualization is disabled .. firmware; vt x is not available; vt x is disabled; amd "
        "v is disabled; no hardware virtualization support; svm not supported by cpu; kvm is "
        "disabled by your bios; virtualization technology .. disabled; hardware "
        "virtualization .. not enabled",
        supports="bios; uefi; vmx; svm",
        seen='"disabled by bios", "VMX (outside TXT) disabled by BIOS", modprobe kvm_intel or '
        'kvm_amd: Operation not supported; "CPU doesn\'t support VT".',
        decides="flags vmx or svm in /proc/cpuinfo and the kernel log.",
        next="`grep -m1 -oE 'vmx|svm' /proc/cpuinfo; dmesg | grep -i kvm`.",
        kernels="EOPNOTSUPP from the module, all releases.",
    ),
    Cause(
        "kvm-busy",
        "Another hypervisor holds the processor's virtualisation (VirtualBox, VMware, a second "
        "KVM).",
        calls="KVM_CREATE_VM:EBUSY",
        names="create vm .. ebusy; failed to initialize kvm ebusy; kvm .. in use by another "
        "hypervisor; virtualbox can t enable the amd v; virtualbox can t operate in vmx root "
        "mode; vmx .. already in use; failed to initialize kvm .. ebusy; another hypervisor "
        ".. is running; enable virtualization .. ebusy; could not insert kvm .. ebusy; insert "
        "module .. kvm .. ebusy",
        supports="vboxdrv; vmmon; virtualbox; vmware; vmw",
        against="sev; vfio; memslot",
        seen='EBUSY from KVM_CREATE_VM, "Device or resource busy", vboxdrv or vmmon in lsmod.',
        decides="which modules are loaded.",
        next="`lsmod | grep -e vbox -e vmmon -e vmw`, stop their VMs.",
        kernels="EBUSY comes from enabling VMX on a CPU that has it on; since 6.12 KVM does that "
        "when "
        "the module loads (`kvm.enable_virt_at_load=1`), so the other product fails instead; "
        "`kvm.enable_virt_at_load=0` restores the old order.",
    ),
    Cause(
        "nested-virtualization-missing",
        "The machine is itself a guest whose hypervisor does not pass on VMX or SVM (or passes on "
        "too little).",
        names="kvm no hardware support; no kvm .. nested; nested virtualization is not; nested "
        "virtualization .. disabled; nested virtualization .. not enabled; nested "
        "virtualization .. not supported; hypervisor does not expose .. vmx; instance type .. "
        "does not support nested; enable nested virtualization; kvm intel nested .. n",
        supports="nested; cloud instance; ec2; azure; gcp; systemd detect virt; inside a vm; wsl",
        seen='"KVM: no hardware support", ENOENT in a cloud instance, hypervisor flag in cpuinfo, '
        "entry failures only inside VMs.",
        decides="`cat /sys/module/kvm_intel/parameters/nested` on the outer host.",
        next="`systemd-detect-virt; grep -c -E 'vmx|svm' /proc/cpuinfo`.",
        kernels="nested is on by default for AMD always, for Intel since 4.20.",
        is_general=True,
    ),
    Cause(
        "create-vm-no-memory",
        "KVM_CREATE_VM cannot allocate its structures or its worker.",
        calls="KVM_CREATE_VM:ENOMEM",
        names="create vm .. enomem; failed to initialize kvm enomem; failed to initialize kvm .. "
        "enomem; creating vm .. enomem; create a vm .. enomem",
        supports="free m; buddyinfo; memory cgroup",
        against="set user memory region .. enomem; slot",
        seen='ENOMEM from KVM_CREATE_VM or "failed to initialize kvm: Cannot allocate memory". '
        "Against it: a memory region or a slot in the message.",
        decides="free and unfragmented host memory, cgroup limits, count of VMs.",
        next="`free -m; cat /proc/buddyinfo; dmesg | tail -n 30`.",
        kernels="all; before any memory slot exists.",
    ),
    Cause(
        "create-vcpu-refused",
        "KVM_CREATE_VCPU is refused for a reason of its own: id, type of VM, irqchip of the "
        "VM, nested or confidential state.",
        calls="KVM_CREATE_VCPU:EINVAL KVM_CREATE_VCPU:ENOMEM KVM_CREATE_VCPU:EBUSY "
        "KVM_CREATE_VCPU:EPERM KVM_CREATE_VCPU:EIO KVM_CREATE_VCPU:E2BIG",
        names="kvm create vcpu failed .. einval; create vcpu .. einval; kvm init vcpu .. einval; "
        "create vcpu .. enomem; kvm init vcpu .. ebusy; kvm create vcpu .. e2big; "
        "creating vcpu .. einval; kvm get vcpu failed .. einval",
        supports="vcpu id; irqchip; xen",
        against="tdx; number of cpus; kvm arch init vcpu",
        seen="EINVAL from KVM_CREATE_VCPU, `kvm_create_vcpu failed`, `kvm_init_vcpu`.",
        decides="the vCPU id against KVM_CAP_MAX_VCPU_ID, what the kernel log says.",
        next="`memslots record -o vmm.rec -- COMMAND; dmesg | tail`.",
        kernels="EEXIST of the first vCPU on x86 is a memory slot over 0xfee00000 (rule "
        "slot-overlap), not this.",
        is_general=True,
    ),
    Cause(
        "vmm-vcpu-limit",
        "The VMM compared the number of vCPUs with KVM_CAP_MAX_VCPUS and gave up.",
        names="exceeds the maximum cpus supported by kvm; exceeds the recommended cpus; maximum "
        "cpus supported by; number of smp cpus requested .. exceeds; number of hotpluggable "
        "cpus requested .. exceeds; invalid smp cpus .. the max cpus supported; too many "
        "vcpus; max cpus supported by machine; vcpus .. greater than max; vcpu count .. "
        "exceeds; maximum number of vcpus; vcpus .. more than .. supported; exceeds the "
        "maximum number of vcpus; exceeds kvm cap max vcpus; kvm cap max vcpus .. exceed~; at "
        "most .. vcpus",
        supports="kvm cap max vcpus; smp",
        seen='"exceeds the maximum cpus supported by KVM (N)", "recommended cpus".',
        decides="the number in the message.",
        next="`memslots live probe`.",
        kernels="x86 288 before 5.15, 1024 since, 4096 by configuration since 6.7.",
    ),
    Cause(
        "open-files-limit",
        "RLIMIT_NOFILE: each VM, vCPU, eventfd and guest_memfd is a descriptor.",
        calls="open:EMFILE open:ENFILE KVM_CREATE_VM:EMFILE KVM_CREATE_VCPU:EMFILE "
        "KVM_CREATE_GUEST_MEMFD:EMFILE eventfd:EMFILE",
        names="emfile; enfile; rlimit nofile",
        supports="nofile; ulimit n; eventfd",
        seen='EMFILE (24) or ENFILE (23), "Too many open files", "No file descriptors available".',
        decides="`ls /proc/PID/fd | wc -l` against the limit.",
        next="`prlimit --pid PID --nofile; ls /proc/PID/fd | wc -l`.",
        kernels="all.",
    ),
    Cause(
        "module-version-mismatch",
        "Program and module disagree about a structure: changed uapi header, out-of-tree module, "
        "fork.",
        calls="KVM_SET_USER_MEMORY_REGION:ENOTTY KVM_CREATE_VCPU:ENOTTY KVM_GET_DIRTY_LOG:ENOTTY "
        "KVM_RUN:ENOTTY",
        names="enotty .. uapi header; uapi header .. enotty; patching the uapi; field to struct .. "
        "enotty; struct kvm .. enotty; out of tree .. kvm .. enotty; kvm module .. built "
        "from; custom kvm module",
        supports="uapi; rebuilt; patched; header; struct",
        seen="ENOTTY from a call that every kernel has; a patched tree in the text.",
        decides="the request number in strace against the header.",
        next="`strace -f -X raw -e trace=ioctl COMMAND 2>&1 | grep -m3 ENOTTY`.",
        kernels="the request number contains the structure's size. Else: rule ioctl-unknown (the "
        "kernel is too old).",
    ),
    Cause(
        "lsm-denial",
        "A security module denied it: SELinux, AppArmor.",
        calls="KVM_CREATE_GUEST_MEMFD:EACCES KVM_SET_USER_MEMORY_REGION:EACCES "
        "KVM_CREATE_VM:EACCES",
        names="avc denied; create guest memfd .. eacces; apparmor denied; selinux .. denied; "
        "selinux is preventing; apparmor .. denied; audit .. denied .. kvm; permissive .. "
        "works; setenforce 0 .. works; anon inode .. eacces; denied .. kvm gmem",
        supports="selinux; apparmor; svirt; container t; audit; enforcing; permissive",
        seen='EACCES from KVM_CREATE_GUEST_MEMFD or another call on an open VM, "avc: denied", '
        "container_t, svirt_t. Against it: opening /dev/kvm.",
        decides="the audit log.",
        next="`ausearch -m avc -ts recent; journalctl -k -g apparmor`.",
        kernels="no rule of KVM is EACCES; seen with 6.18, whose guest_memfd is an anonymous inode "
        "that policies must know.",
    ),
    Cause(
        "seccomp-denial",
        "The VMM's or the container's seccomp filter does not allow a call.",
        names="sigsys; bad system call; bad syscall; type 1326; seccomp .. violation; seccomp .. "
        "killed; seccomp .. denied; seccomp .. block~; seccomp .. not allowed; not allowed by "
        ".. seccomp; intercepting a bad syscall; seccomp .. intercept~; invalid system call",
        supports="seccomp; syscall 16; filter",
        seen='SIGSYS, "bad syscall", "intercepting a bad syscall", "Bad system call (core '
        'dumped)"; EPERM from an ioctl that root may make.',
        decides="the number of the system call (16 is ioctl on x86_64).",
        next="`strace -f -e trace=ioctl COMMAND`, `journalctl -k -g 'type=1326'`.",
        kernels="type=1326 audit records.",
    ),
    Cause(
        "userfaultfd-denied",
        "userfaultfd for kernel faults needs privilege.",
        calls="userfaultfd:EPERM userfaultfd:ENOSYS userfaultfd:EACCES",
        names="userfaultfd .. eperm; uffd .. eperm; userfaultfd .. enosys; failed to create "
        "userfaultfd; cannot create userfaultfd; unprivileged userfaultfd; userfaultfd .. not "
        "permitted; userfaultfd .. eacces; uffd create .. eacces; create uffd; postcopy .. "
        "userfaultfd .. not available; dev userfaultfd",
        supports="snapshot; postcopy; uffd",
        against="mmap",
        seen='EPERM from userfaultfd, "Failed to create userfaultfd", snapshot restore with '
        "UFFD, post-copy.",
        decides="the sysctl and capabilities.",
        next="`sysctl vm.unprivileged_userfaultfd; ls -l /dev/userfaultfd`.",
        kernels="sysctl since 5.2, default 0 since 5.11 (only user-mode faults without privilege), "
        "/dev/userfaultfd since 6.1; KVM needs kernel faults.",
    ),
    Cause(
        "other-hypervisor",
        "It is not KVM at all.",
        names="gunyah; bhyve; verr~; libxl; xc dom; xen .. error; xl create; whpx; whp; hyper v .. "
        "vmwp; hv error; hvf .. error; hv vm map; hv vm create; hypervisor framework; mshv .. "
        "failed; dev mshv .. failed; mshv map; vmware .. vmx; vmx86; acrn; haxm; nvmm; "
        "virtualization framework; vz virtual machine; qemu system x86 64 exe; qemu system "
        "x86 64w exe; geniezone; gzvm; jailhouse .. failed; psp hypervisor; vbox .. e fail",
        supports="exe; darwin; macos; freebsd; windows",
        against="kvm set user memory region; kvm error; kvm run failed; error kvm run; kvm create "
        "vm; vboxdrv; dev kvm",
        seen="the names Gunyah, bhyve, VirtualBox (VERR_), Xen (libxl, xc_), Hyper-V or WHPX, HVF "
        "(HV_ERROR), mshv, VMware, ACRN; .exe. Against it: /dev/kvm or KVM_ in the same "
        "lines.",
        decides="the name.",
        next="that product's own log; nothing of `memslots` applies.",
        kernels="Gunyah's GH_VM_SET_USER_MEM_REGION resembles KVM's call and is none.",
    ),
)
"""In no order: what a paste says ranks them."""
