-- Claims a row, writing it first if there is none.
-- KEYS: the row, the set of all rows. ARGV: now, end of the lease, holder, fresh row, the row's own name, its tally.
local held_until = redis.call('HGET', KEYS[1], 'until')
local granted = 0
if not held_until or tonumber(held_until) <= tonumber(ARGV[1]) then
  granted = 1
  if redis.call('HSETNX', KEYS[1], 'row', ARGV[4]) == 1 then
    tally(KEYS[1], KEYS[2], ARGV[5], ARGV[#ARGV])
  end
  redis.call('HSET', KEYS[1], 'until', ARGV[2], 'holder', ARGV[3])
  redis.call('HINCRBY', KEYS[1], 'fence', 1)
  redis.call('HINCRBY', KEYS[1], 'version', 1)
  redis.call('SADD', KEYS[2], ARGV[5])
end
return {granted, redis.call('HMGET', KEYS[1], 'row', 'version', 'fence', 'holder', 'until')}
