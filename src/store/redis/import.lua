-- Puts a row of another store in place with its version and fence, whatever stood there; nobody holds it.
-- KEYS: the row, the set of all rows, one sorted set for each mark, those who were removed by time. ARGV: version,
-- fence, the row, its own name, what an alias's key begins with, which of the marks it has (0: none), when the person
-- was removed (empty: they were not), the aliases, and its tally.
local stored = redis.call('HGET', KEYS[1], 'aliases')
if stored then
  for _, alias in ipairs(cmsgpack.unpack(stored)) do
    -- It may have gone to somebody else since, whose row came before this one.
    if redis.call('GET', ARGV[5] .. alias) == ARGV[4] then
      redis.call('DEL', ARGV[5] .. alias)
    end
  end
end
local wanted = {}
for place = 8, #ARGV - 1 do
  redis.call('SET', ARGV[5] .. ARGV[place], ARGV[4])
  wanted[#wanted + 1] = ARGV[place]
end
redis.call('HSET', KEYS[1], 'row', ARGV[3], 'aliases', cmsgpack.pack(wanted), 'version', ARGV[1], 'fence', ARGV[2])
redis.call('HDEL', KEYS[1], 'holder', 'until')
redis.call('SADD', KEYS[2], ARGV[4])
for mark = 1, #KEYS - 3 do
  if ARGV[6] == tostring(mark) then
    redis.call('ZADD', KEYS[mark + 2], 0, ARGV[4])
  else
    redis.call('ZREM', KEYS[mark + 2], ARGV[4])
  end
end
date_removal(KEYS[#KEYS], ARGV[4], ARGV[7])
tally(KEYS[1], KEYS[2], ARGV[4], ARGV[#ARGV])
return 1
