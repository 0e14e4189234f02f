-- kernel memory for slots, by host and VMM, and for a GiB of guest memory
SELECT
    host,
    vmm,
    count(*) AS vms,
    sum(slots) AS slots,
    sum(metadata_bytes) AS bytes,
    max(metadata_bytes) AS most_of_one_vm,
    round(sum(metadata_bytes) / nullif(sum(pages * page_bytes) / 1073741824.0, 0)) AS bytes_per_gib
FROM vms
GROUP BY ALL
ORDER BY bytes DESC NULLS LAST, host, vmm
