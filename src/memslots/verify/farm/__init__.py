"""Other kernels than the one under us: fetched as packages, booted under QEMU, asked by a small C
program.

Nothing here runs a guest, and nothing is emulated but the machine: the answers are the kernel's
own.
"""
