-- Counts the time in which the store is used, by its own clock, and gives its epoch.
-- KEYS: the epoch. ARGV: the most that counts since the last time, in ms.
if redis.call('EXISTS', KEYS[1]) == 1 then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local at = tonumber(redis.call('HGET', KEYS[1], 'at') or '0')
  local lived = math.max(1, math.min(now - at, tonumber(ARGV[1])))
  redis.call('HINCRBY', KEYS[1], 'beat', lived)
  redis.call('HSET', KEYS[1], 'at', string.format('%.0f', math.max(now, at)))
end
return redis.call('HMGET', KEYS[1], 'id', 'beat', 'at', 'doubt', 'confirmed_at')
