-- The row that an alias leads to, after its name. KEYS: the alias. ARGV: what a row's key begins with.
local name = redis.call('GET', KEYS[1])
if not name then
  return {false, {false, false, false, false, false}}
end
return {name, redis.call('HMGET', ARGV[1] .. name, 'row', 'version', 'fence', 'holder', 'until')}
