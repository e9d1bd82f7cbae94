-- A value and the time, as its own node tells it. KEYS: its key.
return {redis.call('GET', KEYS[1]), redis.call('TIME')}
