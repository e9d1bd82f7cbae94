-- Replaces or deletes a count unless it was changed meanwhile.
-- KEYS: its key. ARGV: the value it must have (empty: none), the new one (empty: none), for how many ms it is kept.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
