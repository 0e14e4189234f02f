-- hosts, recordings and VMs of each kernel, and how the kernel is known
SELECT
    kernel,
    how,
    count(DISTINCT host) AS hosts,
    count(*) AS recordings,
    sum(vms) AS vms,
    sum(region_calls) AS region_calls,
    sum(refused_calls) AS refused_calls,
    sum(surprises) AS surprises
FROM recordings
GROUP BY ALL
ORDER BY recordings DESC, kernel, how
