-- what was refused, by rule, over all kernels and VMMs
SELECT
    rule,
    count(*) AS times,
    count(DISTINCT (recording, vm)) AS vms,
    count(DISTINCT host) AS hosts,
    count(DISTINCT kernel) AS kernels,
    list_sort(list(DISTINCT vmm)) AS vmms
FROM refusals
GROUP BY rule
ORDER BY times DESC, rule
