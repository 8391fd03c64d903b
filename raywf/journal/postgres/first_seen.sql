-- Of definitions that were there before the time was kept: when they were first used. Locks no reader.
UPDATE definitions SET seen_at = used.at
FROM (SELECT definition, min(created_at) AS at FROM executions GROUP BY definition) AS used
WHERE used.definition = definitions.hash;
