-- Puts the epoch of another store in place, whatever stood there. KEYS: the epoch. ARGV: its fields, each followed by
-- its value; without any there is no epoch.
redis.call('DEL', KEYS[1])
if #ARGV > 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV))
end
