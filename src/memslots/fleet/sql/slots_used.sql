-- slots of each VM: at most, and left of what its kernel has
SELECT
    host,
    vmm,
    kernel,
    recording,
    vm,
    most_slots,
    slot_limit,
    slots_left,
    round(100.0 * most_slots / nullif(slot_limit, 0), 1) AS percent,
    most_pages,
    most_pages * page_bytes AS most_bytes
FROM vms
ORDER BY percent DESC NULLS LAST, most_slots DESC, recording, vm
