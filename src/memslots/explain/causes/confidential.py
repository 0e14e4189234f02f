"""Confidential VMs: SEV, SNP, TDX, guest_memfd, pKVM."""

from __future__ import annotations

from .cause import Cause

CAUSES = (
    Cause(
        "confidential-tree-mismatch",
        "Kernel, QEMU and firmware are of different development trees.",
        names="snp launch start .. enotty; sev init .. enotty; tdx capabilities .. enotty; snp "
        "init "
        ".. enotty; launch start ret 25; upm enabled; restricted memory upm; memory .. upm; "
        "sev snp .. enotty; tdx .. enotty; kvm tdx capabilities .. einval; sev .. ret 25; tdx "
        "init vm .. enotty; memory encrypt op .. enotty; private memory .. development tree; "
        "restrictedmem; versions need to match; host kernel .. branch .. qemu .. branch",
        supports="svsm; upm; snp; tdx; fork; branch; rfc; private memory",
        seen='ENOTTY (-25) from SNP_LAUNCH_START, KVM_TDX_CAPABILITIES, KVM_SEV_INIT; "UPM", '
        '"Restricted memory", unknown exit reason, options that upstream does not have.',
        decides="releases of all three.",
        next="`uname -r; qemu-system-x86_64 --version`; use upstream: SEV-SNP host 6.11 and QEMU "
        "9.1, TDX host 6.16 and QEMU 10.1.",
        kernels="upstream since those releases.",
    ),
    Cause(
        "sev-not-available",
        "The host offers no SEV, SEV-ES or SEV-SNP.",
        calls="KVM_MEMORY_ENCRYPT_OP:EOPNOTSUPP KVM_MEMORY_ENCRYPT_OP:ENODEV",
        names="sev kvm init .. enodev; sev kvm init .. eopnotsupp; sev failed to init; dev sev .. "
        "enoent; sev .. not available; sev is not supported; sev snp is not supported; snp .. "
        "not supported by; sev snp not supported; sev .. not enabled; sev init .. enodev; "
        "host does not support sev; sev guest is not supported; sev .. ret 95; sev .. ret 19; "
        "sev es .. not supported; memory encryption not supported; kvm amd sev disabled; sev "
        ".. disabled; ccp .. sev .. failed; sev parameters .. n; parameters sev snp n; sev .. "
        "cbitpos check failed; sev .. reduced phys bits check failed",
        supports="ccp; psp; kvm amd; sev",
        seen='sev_kvm_init: failed to initialize ret=-95 or -19, /dev/sev missing, "SEV: failed to '
        'INIT", parameters sev = N.',
        decides="kvm_amd's parameters, BIOS, firmware of the PSP.",
        next="`cat /sys/module/kvm_amd/parameters/sev*; dmesg | grep -i -e sev -e ccp`.",
        kernels="SEV 4.16, SEV-ES 5.11, SEV-SNP 6.11.",
    ),
    Cause(
        "sev-asids-used-up",
        "No ASID is left for another encrypted VM.",
        calls="KVM_MEMORY_ENCRYPT_OP:EBUSY",
        names="sev .. ebusy; sev kvm init .. ebusy; no .. asid .. available; asids .. used; out of "
        "asids; asids .. exhausted; no free asid; asid .. exhausted; misc max .. sev; sev .. "
        "asids .. running",
        supports="asid; asids; guests are running; misc",
        seen='EBUSY (-16) from KVM_SEV_INIT; "ASIDs" in dmesg.',
        decides="misc.current of the cgroup.",
        next="`cat /sys/fs/cgroup/misc.capacity`.",
        kernels="misc controller since 5.13.",
    ),
    Cause(
        "sev-firmware-error",
        "The PSP answers with an error of its own.",
        names="fw error 1; fw error 2; fw error 3; fw error 4; fw error 7; fw error 9; fw error "
        "11; "
        "fw error 12; fw error 15; fw error 16; fw error 20; fw error 22; fw error 24; fw "
        "error 0x~; sev .. invalid platform state; sev .. policy failure; sev .. bad "
        "measurement; sev firmware error",
        supports="launch; psp; policy",
        against="fw error 0",
        seen="fw_error=N other than 0.",
        decides="N: 1 platform state, 2 guest state, 3 configuration, 4 length, 7 policy, 9 "
        "address, "
        "0xb measurement, 0xc ASID in use.",
        next="`dmesg | grep -i ccp`; update the SEV firmware.",
        kernels="text behind the number comes from QEMU.",
    ),
    Cause(
        "sev-pin-limit",
        "SEV pins guest memory and passes RLIMIT_MEMLOCK.",
        calls="KVM_MEMORY_ENCRYPT_REG_REGION:ENOMEM",
        names="locked pages exceed the lock limit; sev ram block added .. enomem; encrypt reg "
        "region .. enomem; sev .. register region .. enomem; sev .. pin~ .. enomem; sev .. "
        "lock limit; sev .. failed to register region",
        supports="sev; locked pages; memlock",
        seen='KVM_MEMORY_ENCRYPT_REG_REGION or sev_ram_block_added with ENOMEM, "locked pages '
        'exceed the lock limit of".',
        decides="that line of the kernel log.",
        next="`prlimit --pid PID --memlock; dmesg | grep 'SEV:'`.",
        kernels="all with SEV; SNP does not pin so.",
    ),
    Cause(
        "sev-register-race",
        "A race in KVM_MEMORY_ENCRYPT_REG_REGION with a failing KVM_SEV_INIT: an oops of the "
        "kernel.",
        names="sev mem enc register region; mem enc register region; kvm sev init .. regions "
        "list; sev .. regions list",
        supports="kasan; oops; null ptr deref",
        seen="sev_mem_enc_register_region in RIP or the trace. Against it: a refused region call.",
        decides="the release.",
        next="`uname -r`; update.",
        kernels="reported on 6.16.",
    ),
    Cause(
        "snp-memory-not-private",
        "SNP_LAUNCH_UPDATE of memory that is not private.",
        names="snp launch update .. einval; requires restricted memory; snp requires restricted; "
        "snp .. requires private memory; snp launch update ret 22; snp launch update .. "
        "failed; sev snp requires .. guest memfd; snp .. guest memfd .. missing",
        supports="snp; memfd; private; memory backend",
        against="fw error 1; ret 25",
        seen='SNP_LAUNCH_UPDATE ret=-22, "requires restricted memory", memory-backend without '
        "guest_memfd.",
        decides="has the slot of that address KVM_MEM_GUEST_MEMFD and is the range private?",
        next="QEMU: `-machine q35,confidential-guest-support=sev0,memory-backend=ram1 -object "
        "memory-backend-memfd,id=ram1,size=SIZE,share=true`; upstream QEMU creates "
        "guest_memfd itself, forks want memory-backend-memfd-private.",
        kernels="upstream 6.11.",
    ),
    Cause(
        "tdx-not-available",
        "The host offers no TDX.",
        names="tdx module not loaded; tdx .. not loaded by the bios; virt tdx .. not; tdx .. not "
        "enabled; tdx is not supported; tdx .. not supported; tdx .. not available; tdx "
        "module .. not initialized; kvm intel .. tdx n; tdx disabled; tdx vm type is not "
        "supported; vm type tdx not supported; host does not support tdx; tdx not enabled by "
        "bios",
        supports="tdx; seam; bios; 0x5",
        seen='KVM_CREATE_VM type 5 EINVAL, "virt/tdx: module not loaded", kvm_intel tdx=N.',
        decides="kernel log.",
        next="`dmesg | grep -i tdx; cat /sys/module/kvm_intel/parameters/tdx`.",
        kernels="since 6.16.",
    ),
    Cause(
        "tdx-init-refused",
        "KVM_TDX_INIT_VM refuses CPUID, attributes or xfam.",
        names="tdx init vm .. einval; tdx init vm failed; tdx .. init vm .. einval; tdx .. invalid "
        "attributes; tdx .. unsupported .. attributes; tdx .. xfam; tdx requires .. cpu; kvm "
        "tdx init vm; tdx .. cpuid .. not supported",
        supports="tdx; cpu host; attributes",
        against="enotty",
        seen="KVM_TDX_INIT_VM failed: Invalid argument.",
        decides="the configuration against KVM_TDX_CAPABILITIES.",
        next="`-cpu host,-kvm-steal-time,pmu=off`; `dmesg | grep -i seamcall`.",
        kernels="since 6.16.",
    ),
    Cause(
        "tdx-init-mem-region-again",
        "KVM_TDX_INIT_MEM_REGION with EAGAIN or EINTR: to be repeated.",
        names="tdx init mem region .. eagain; tdx init mem region .. eintr; tdx init mem region .. "
        "ebusy; init mem region failed eagain",
        supports="tdx; ubsan",
        seen='"KVM_TDX_INIT_MEM_REGION failed Resource temporarily unavailable". Against it: a '
        "UBSAN report beside it is unrelated.",
        decides="the errno.",
        next="repeat; a newer QEMU does.",
        kernels="contention inside the TDX module.",
    ),
    Cause(
        "tdx-init-mem-region-failed",
        "It fails otherwise: EIO a SEAMCALL, EINVAL no private memory or not aligned, EFAULT the "
        "source.",
        names="tdx init mem region .. eio; tdx init mem region .. einval; tdx init mem region .. "
        "efault; tdx init mem region failed; tdx add mem region; init mem region .. failed; "
        "tdx .. mem page add; tdh mem page add",
        supports="seamcall; tdvf; tdx",
        against="eagain",
        seen='"KVM_TDX_INIT_MEM_REGION failed Input/output error".',
        decides="the SEAMCALL's status in dmesg; is the firmware a TDVF with metadata?",
        next="`dmesg | grep -i -e seamcall -e tdx`.",
        kernels="since 6.16; development trees before.",
    ),
    Cause(
        "gmem-offset-huge-misaligned",
        "Guest address and offset in the guest_memfd differ modulo 2 MiB: no huge pages for that "
        "slot.",
        names="gmem pgoff .. align~; non 2mb aligned gmem; gmem .. huge .. align~; guest memfd "
        "offset .. huge; guest memfd .. 2mb .. align~; misaligned .. guest memfd; guest memfd "
        ".. misaligned; gmem .. 2m .. align~; guest memfd .. huge pages .. offset; gmem pgoff",
        supports="gmem; pgoff; 2mb; guest memfd; huge",
        seen="gpa and guest_memfd_offset in a trace; WARN_ON about pgoff; slow SNP guests.",
        decides="(gpa - offset) mod 0x200000, start of the slot.",
        next="`memslots explain FILE`.",
        kernels="guest_memfd had 4 KiB folios only up to 7.2; huge folios are in development.",
    ),
    Cause(
        "gmem-hole-punched",
        "Memory was given back (fallocate PUNCH_HOLE) or never allocated.",
        names="punch hole .. guest memfd; guest memfd .. punch hole; guest memfd .. punched; guest "
        "memfd .. enospc; private memory .. discard~ .. efault; guest memfd .. fallocate .. "
        "fail~",
        supports="guest memfd; fallocate; convert; private",
        seen="EFAULT or conversion failures after discard, ENOSPC, cgroup.",
        decides="conversions in the trace.",
        next="`memslots record -o vmm.rec -- COMMAND`.",
        kernels="since 6.8.",
    ),
    Cause(
        "pkvm-memory-not-shared",
        "arm64 protected VM: host code touched memory that belongs to the guest.",
        names="host access to lent memory; pkvm .. swiotlb; lent memory region; protected .. "
        "swiotlb; restricted dma .. protected; pkvm .. host .. fault; protected vm .. not "
        "shared; lent .. guest memory; pkvm .. stage 2 .. host; unhandled .. host .. pkvm; "
        "virtio .. access platform .. protected",
        supports="pkvm; protected; swiotlb; aarch64",
        seen='"host access to lent memory region", swiotlb, virtio without restricted DMA, pKVM.',
        decides="does the guest use the shared window (swiotlb)?",
        next="give `--swiotlb SIZE`; guest with VIRTIO_F_ACCESS_PLATFORM.",
        kernels="Android trees; upstream protected VMs since 7.1.",
    ),
)
"""In no order: what a paste says ranks them."""
