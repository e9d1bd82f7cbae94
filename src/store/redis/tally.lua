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
