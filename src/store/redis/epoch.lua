-- Replaces the epoch unless it is another one by now, or doubted otherwise.
-- KEYS: the epoch. ARGV: the name and doubt it must have (both empty: none, or no doubt), the new name, beat and doubt
-- (empty: none), whether it is confirmed.
local id, doubt = redis.call('HGET', KEYS[1], 'id'), redis.call('HGET', KEYS[1], 'doubt')
if (id or '') ~= ARGV[1] or (doubt or '') ~= ARGV[2] then
  return 0
end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[1], 'id', ARGV[3], 'beat', ARGV[4], 'at', now)
if ARGV[5] == '' then
  redis.call('HDEL', KEYS[1], 'doubt')
else
  redis.call('HSET', KEYS[1], 'doubt', ARGV[5])
end
if ARGV[6] == '1' then
  redis.call('HSET', KEYS[1], 'confirmed_at', now)
end
return 1
