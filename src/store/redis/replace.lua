-- Replaces or deletes a value unless it was changed meanwhile. The time it is kept for stays.
-- KEYS: its key. ARGV: the value it must have, the new one (empty: it is deleted).
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
end
return 1
