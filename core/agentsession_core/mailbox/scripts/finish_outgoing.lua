-- What a deleted session's mailbox still had to say: the stream goes once it is delivered.
-- KEYS: mailbox outgoing   ARGV: mailbox keep_seconds
local since = redis.call('ZSCORE', 'sessions:undelivered', ARGV[1])
if not since then return {'known', '0'} end
if redis.call('EXISTS', KEYS[1]) == 1 then
  -- Another session has the mailbox, and with it what is undelivered.
  redis.call('ZREM', 'sessions:undelivered', ARGV[1])
  return {'taken', '0'}
end
local left = redis.call('XLEN', KEYS[2])
if left > 0 and tonumber(redis.call('TIME')[1]) - tonumber(since) < tonumber(ARGV[2]) then return {'waits', tostring(left)} end
redis.call('DEL', KEYS[2])
redis.call('ZREM', 'sessions:undelivered', ARGV[1])
if left > 0 then return {'dropped', tostring(left)} end
return {'delivered', '0'}
