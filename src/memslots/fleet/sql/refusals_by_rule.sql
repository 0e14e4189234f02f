-- what was refused, by rule, call, errno, kernel and VMM
SELECT
    rule,
    call,
    errno,
    kernel,
    vmm,
    count(*) AS times,
    count(DISTINCT (recording, vm)) AS vms,
    count(DISTINCT host) AS hosts,
    min(recording) AS example
FROM refusals
GROUP BY ALL
ORDER BY times DESC, rule, call, errno, kernel, vmm
