-- Put before scripts that write rows: keeps the counts, and the names of each stage, with what a row's tally says
-- (stage:pinned:bucket). A row that has none yet is counted from now on.
local function count(rows, tally, by)
  local stage, pinned, bucket = string.match(tally, '^(%a+):(%d):(.+)$')
  redis.call('HINCRBY', rows .. ':stages', stage .. ':' .. pinned, by)
  if bucket ~= '-' then
    redis.call('HINCRBY', rows .. ':reach', bucket, by)
  end
  return stage
end
local function tally(row, rows, name, new)
  local old = redis.call('HGET', row, 'tally')
  if old == new then
    return
  end
  if old then
    redis.call('ZREM', rows .. ':in:' .. count(rows, old, -1), name)
  end
  redis.call('ZADD', rows .. ':in:' .. count(rows, new, 1), 0, name)
  redis.call('HSET', row, 'tally', new)
end
-- Keeps those who were removed in the order of time; without a time somebody is not removed.
local function date_removal(removed, name, at)
  if at == '' then
    redis.call('ZREM', removed, name)
  else
    redis.call('ZADD', removed, at, name)
  end
end
-- Comes to all that a tally will be written to. While a cluster moves the slot, a key that is at the other node, or
-- nowhere, ends a script: that has to happen before its first write.
local function at_hand(row, rows, new)
  for _, one in ipairs({redis.call('HGET', row, 'tally') or new, new}) do
    redis.call('EXISTS', rows .. ':stages', rows .. ':reach', rows .. ':in:' .. string.match(one, '^%a+'))
  end
end
