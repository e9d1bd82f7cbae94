-- What of a row stands beside what it says: version, fence, and its aliases. KEYS: the row.
local stored = redis.call('HMGET', KEYS[1], 'version', 'fence', 'aliases')
return {stored[1], stored[2], stored[3] and cmsgpack.unpack(stored[3]) or {}}
