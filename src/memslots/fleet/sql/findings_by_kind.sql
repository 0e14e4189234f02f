-- findings on calls that were accepted, by kind
SELECT
    kind,
    severity,
    count(*) AS vms,
    count(DISTINCT host) AS hosts,
    sum(times) AS times,
    list_sort(list(DISTINCT vmm)) AS vmms
FROM findings
GROUP BY ALL
ORDER BY severity DESC, vms DESC, kind
