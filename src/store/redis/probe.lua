-- Writes as the store does and leaves nothing behind. KEYS: a key that nobody else uses.
redis.call('SET', KEYS[1], '1', 'PX', 1000)
redis.call('PEXPIRE', KEYS[1], 2000, 'GT')
redis.call('DEL', KEYS[1])
return 1
