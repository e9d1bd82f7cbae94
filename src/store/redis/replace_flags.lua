-- Replaces the flag state unless it was changed meanwhile.
-- KEYS: its key. ARGV: the version it must have (0: there is none), the new version, the new record.
if (redis.call('HGET', KEYS[1], 'version') or '0') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'state', ARGV[3])
return 1
