-- Replaces a flag state that cannot be read, unless it was changed meanwhile.
-- KEYS: its key. ARGV: the version and the record that it must have ('': there is none), the new ones.
if (redis.call('HGET', KEYS[1], 'version') or '') ~= ARGV[1]
  or (redis.call('HGET', KEYS[1], 'state') or '') ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'version', ARGV[3], 'state', ARGV[4])
return 1
