-- What `Bucket` in net/rates.rs does, for all processes together and by the clock of Redis; change both together.
-- KEYS: the bucket of one dependency.
-- ARGV: 'take' or 'refused'; calls a second (0: not limited); 'sign_in' or 'background', or the pause in ms;
-- then LEAST_CAPACITY, LEAST_RATE and RECOVERY.
-- Returns for how many ms no call may be made; 0 when one was taken.
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local set = tonumber(ARGV[2])
local least_capacity, least_rate, recovery = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

local bucket = {}
local fields = redis.call('HGETALL', KEYS[1])
for n = 1, #fields, 2 do bucket[fields[n]] = tonumber(fields[n + 1]) end
local till = bucket['until'] or 0
local calls, since, before = bucket.calls or 0, bucket.since or 0, bucket.before or 0

-- The rate that was cut, as far as it has come back; nil when it is all of it.
local function cut_rate()
  if not bucket.cut then return nil end
  local passed = math.max(now - bucket.cut_at, 0)
  local rate = bucket.cut + bucket.goal * recovery * math.floor(passed / 1000)
  if rate < bucket.goal then return rate end
  return nil
end

local function rate_now()
  local cut = cut_rate()
  if cut and set > 0 then return math.min(set, cut) end
  return cut or (set > 0 and set) or nil
end

local function write(...)
  redis.call('HSET', KEYS[1], ...)
  -- Longer than any pause and any recovery.
  redis.call('PEXPIRE', KEYS[1], 600000)
end

if ARGV[1] == 'take' and now < till then
  return math.ceil(till - now)
end
if now - since >= 1000 then
  if now - since < 2000 then before = calls else before = 0 end
  calls, since = 0, now
end

if ARGV[1] == 'take' then
  local rate = rate_now()
  if not rate then
    write('calls', calls + 1, 'since', since, 'before', before)
    return 0
  end
  local capacity = math.max(rate, least_capacity)
  local left = capacity
  if bucket.at then left = math.min(capacity, bucket.left + math.max(now - bucket.at, 0) / 1000 * rate) end
  local needed = 1
  if ARGV[3] == 'background' then needed = 1 + capacity / 4 end
  local wait = 0
  if left < needed then
    wait = math.ceil((needed - left) / rate * 1000)
  else
    left, calls = left - 1, calls + 1
  end
  write('left', left, 'at', now, 'calls', calls, 'since', since, 'before', before)
  return wait
end

local pause = tonumber(ARGV[3])
if now >= till then
  local current, cut = rate_now(), cut_rate()
  local measured = math.max(before, calls, least_rate * 2)
  local goal = (cut and bucket.goal) or (set > 0 and set) or measured
  local halved = math.max((current or measured) / 2, math.min(least_rate, goal))
  write('cut', halved, 'goal', goal, 'cut_at', now + pause, 'until', now + pause)
  if bucket.left then write('left', math.min(bucket.left, halved)) end
else
  write('until', math.max(till, now + pause))
end
write('calls', calls, 'since', since, 'before', before)
return 0
