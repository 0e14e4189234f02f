-- VMs that change their slots most: calls, changes of one slot, and time inside the calls
SELECT
    v.host,
    v.vmm,
    v.kernel,
    v.recording,
    v.vm,
    v.region_calls,
    f.height AS changes_of_one_slot,
    v.region_ns,
    v.longest_ns
FROM vms AS v
LEFT JOIN findings AS f
    ON f.recording = v.recording AND f.vm = v.vm AND f.kind = 'churn'
ORDER BY v.region_calls DESC, v.recording, v.vm
