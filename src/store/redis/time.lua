-- The time, as the node of the ledger tells it. KEYS: a key of the ledger.
return redis.call('TIME')
