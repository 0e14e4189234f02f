-- VMs far from the others of their VMM: beyond three spreads of the middle half
WITH measures AS (
    UNPIVOT (
        SELECT
            host,
            vmm,
            kernel,
            recording,
            vm,
            CAST(most_slots AS DOUBLE) AS most_slots,
            CAST(region_calls AS DOUBLE) AS region_calls,
            CAST(most_pages AS DOUBLE) AS most_pages,
            CAST(refused_calls AS DOUBLE) AS refused_calls,
            CAST(longest_ns AS DOUBLE) AS longest_ns
        FROM vms
    ) ON most_slots, region_calls, most_pages, refused_calls, longest_ns INTO NAME measure VALUE value
),
usual AS (
    SELECT
        vmm,
        measure,
        quantile_cont(value, 0.25) AS low,
        quantile_cont(value, 0.5) AS middle,
        quantile_cont(value, 0.75) AS high,
        count(*) AS among
    FROM measures
    GROUP BY ALL
)
SELECT
    m.host,
    m.vmm,
    m.kernel,
    m.recording,
    m.vm,
    m.measure,
    m.value,
    u.middle AS usual,
    u.among
FROM measures AS m
JOIN usual AS u ON m.vmm IS NOT DISTINCT FROM u.vmm AND m.measure = u.measure
WHERE u.among >= 8 AND m.value > u.high + 3 * greatest(u.high - u.low, 1)
ORDER BY m.value / greatest(u.middle, 1) DESC, m.recording, m.vm
