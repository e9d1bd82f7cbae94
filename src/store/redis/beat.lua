-- Says that a process is there, and names those that said so of late, by the clock of Redis.
-- KEYS: the set of processes. ARGV: its name, for how many ms silence means that one is gone.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. (now - ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[2] * 6)
return redis.call('ZRANGE', KEYS[1], 0, -1)
