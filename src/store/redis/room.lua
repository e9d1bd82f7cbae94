-- Notes when a count will be over, and gives the names of those that have to go for want of room.
-- KEYS: the counts of one kind. ARGV: the count's name, what it is ('gone', 'idle', or 'holds': it holds somebody
-- back), for how many ms it is kept, how many there may be, how many are looked at in one go.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local kept_for, batch = tonumber(ARGV[3]), tonumber(ARGV[5])
-- Behind every moment: those that hold somebody back are the last to go.
local behind = 1e14
if ARGV[2] == 'gone' then
  redis.call('ZREM', KEYS[1], ARGV[1])
  return {}
end
-- Those that Redis has forgotten by itself.
for _, from in ipairs({0, behind}) do
  local over = string.format('(%.0f', from + now)
  local names = redis.call('ZRANGE', KEYS[1], from, over, 'BYSCORE', 'LIMIT', 0, batch)
  if #names > 0 then
    redis.call('ZREM', KEYS[1], unpack(names))
  end
end
local go = {}
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then
  local first = redis.call('ZPOPMIN', KEYS[1], batch)
  for n = 1, #first, 2 do
    go[#go + 1] = first[n]
  end
end
local score = now + kept_for
if ARGV[2] == 'holds' then
  score = score + behind
end
redis.call('ZADD', KEYS[1], string.format('%.0f', score), ARGV[1])
-- GT alone leaves a key for ever that had no end.
redis.call('PEXPIRE', KEYS[1], ARGV[3], 'NX')
redis.call('PEXPIRE', KEYS[1], ARGV[3], 'GT')
return go
