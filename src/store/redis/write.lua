-- Replaces a row and its aliases, all or nothing.
-- KEYS: the row, the set of all rows, one sorted set for each mark, those who were removed by time. ARGV: the version
-- and fence it must have, the new row, its holder and the end of its lease (both empty: nobody's), the row's own name,
-- what an alias's key begins with, which of the marks the row has (0: none), when the person was removed (empty: they
-- were not), the aliases, and its tally.
local stored = redis.call('HMGET', KEYS[1], 'version', 'fence', 'aliases')
if (stored[1] or '0') ~= ARGV[1] or (stored[2] or '0') ~= ARGV[2] then
  return 'overtaken'
end
local wanted = {}
for place = 10, #ARGV - 1 do
  local holder = redis.call('GET', ARGV[7] .. ARGV[place])
  if holder and holder ~= ARGV[6] then
    return 'alias taken'
  end
  wanted[#wanted + 1] = ARGV[place]
end
local former = stored[3] and cmsgpack.unpack(stored[3]) or {}
for _, alias in ipairs(former) do
  redis.call('EXISTS', ARGV[7] .. alias)
end
at_hand(KEYS[1], KEYS[2], ARGV[#ARGV])
for _, alias in ipairs(former) do
  redis.call('DEL', ARGV[7] .. alias)
end
for _, alias in ipairs(wanted) do
  redis.call('SET', ARGV[7] .. alias, ARGV[6])
end
redis.call('HSET', KEYS[1], 'row', ARGV[3], 'aliases', cmsgpack.pack(wanted), 'fence', ARGV[2])
redis.call('HINCRBY', KEYS[1], 'version', 1)
if ARGV[4] == '' then
  redis.call('HDEL', KEYS[1], 'holder', 'until')
else
  redis.call('HSET', KEYS[1], 'holder', ARGV[4], 'until', ARGV[5])
end
redis.call('SADD', KEYS[2], ARGV[6])
for mark = 1, #KEYS - 3 do
  if ARGV[8] == tostring(mark) then
    redis.call('ZADD', KEYS[mark + 2], 0, ARGV[6])
  else
    redis.call('ZREM', KEYS[mark + 2], ARGV[6])
  end
end
date_removal(KEYS[#KEYS], ARGV[6], ARGV[9])
tally(KEYS[1], KEYS[2], ARGV[6], ARGV[#ARGV])
return 'written'
