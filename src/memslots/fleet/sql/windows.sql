-- times in which guest memory had no slot, the longest first
SELECT
    host,
    vmm,
    kernel,
    recording,
    vm,
    severity,
    times,
    window_ns,
    numbers
FROM findings
WHERE kind = 'unbacked-window'
ORDER BY window_ns DESC NULLS LAST, recording, vm
