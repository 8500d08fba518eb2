-- A run ended by itself before its time. Counted once per run; a finished turn or a bye forgets it.
-- KEYS: mailbox run   ARGV: run reason message
if redis.call('HGET', KEYS[1], 'failed_run') == ARGV[1] then return {'known'} end
local now = redis.call('TIME')
redis.call('HINCRBY', KEYS[1], 'failures', 1)
redis.call('HSET', KEYS[1], 'failed_run', ARGV[1], 'failure', ARGV[2], 'failure_message', ARGV[3],
  'failed_at', now[1] .. '.' .. string.format('%06d', now[2]))
local stood = redis.call('HMGET', KEYS[2], 'run', 'hello_at')
return {'counted', stood[1] == ARGV[1] and stood[2] and '1' or '0'}
