-- calls that the model of the kernel answers otherwise: another build, a vendor's change, an error
SELECT
    kernel,
    call,
    errno,
    expected,
    rule,
    count(*) AS times,
    count(DISTINCT host) AS hosts,
    min(recording) AS example
FROM refusals
WHERE verdict = 'differs'
GROUP BY ALL
ORDER BY times DESC, kernel, call
