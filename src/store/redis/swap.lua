-- Keeps a value in place of another one, unless that was changed meanwhile.
-- KEYS: its key. ARGV: the value it must have (empty: none), the new one.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
