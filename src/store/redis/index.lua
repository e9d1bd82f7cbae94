-- Counts a row that was written before there were counts. KEYS: the row, the set of all rows. ARGV: the version it must
-- have, its own name, its tally.
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] or redis.call('HEXISTS', KEYS[1], 'tally') == 1 then
  return 0
end
at_hand(KEYS[1], KEYS[2], ARGV[3])
tally(KEYS[1], KEYS[2], ARGV[2], ARGV[3])
return 1
