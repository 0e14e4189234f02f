"""Random and directed calls on a real kernel, live or under QEMU, beside the model."""
