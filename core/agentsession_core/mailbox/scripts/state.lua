-- Everything the operator decides from, read in one step.
-- KEYS: incoming mailbox run turn last usage prompt export ended   ARGV: mailbox
local now = redis.call('TIME')
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
return {
  redis.call('XLEN', KEYS[1]),
  redis.call('HGETALL', KEYS[2]),
  redis.call('HGETALL', KEYS[3]),
  redis.call('HGETALL', KEYS[4]),
  redis.call('HGETALL', KEYS[5]),
  redis.call('HGETALL', KEYS[6]),
  redis.call('HGETALL', KEYS[7]),
  redis.call('ZSCORE', 'sessions:activity', ARGV[1]) or '',
  redis.call('GET', 'sessions:epoch') or '',
  now[1] .. '.' .. string.format('%06d', now[2]),
  oldest and oldest[1] or '',
  redis.call('HGETALL', KEYS[8]),
  redis.call('GET', KEYS[9]) or '',
}
