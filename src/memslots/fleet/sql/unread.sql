-- recordings that could not be read to their end, or not in full
SELECT
    host,
    name,
    file_bytes,
    error,
    not_read,
    events
FROM recordings
WHERE error IS NOT NULL OR not_read > 0
ORDER BY error IS NULL, host, name
