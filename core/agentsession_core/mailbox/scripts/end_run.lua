-- The operator ends a run that does not end by itself: from now on nobody speaks for it.
-- KEYS: run mailbox   ARGV: mailbox run reason message counted
local stood = redis.call('HMGET', KEYS[1], 'run', 'hello_at')
if stood[1] ~= ARGV[2] then return {'stale'} end
local now = redis.call('TIME')
local at = now[1] .. '.' .. string.format('%06d', now[2])
redis.call('HSET', KEYS[1], 'state', 'ended', 'why', ARGV[3])
redis.call('HSETNX', KEYS[1], 'drained_at', at)
local counts = ARGV[5] == '1' and redis.call('HGET', KEYS[2], 'failed_run') ~= ARGV[2]
if counts then
  redis.call('HINCRBY', KEYS[2], 'failures', 1)
  redis.call('HSET', KEYS[2], 'failed_run', ARGV[2], 'failure', ARGV[3], 'failure_message', ARGV[4], 'failed_at', at)
end
redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'ended')
return {counts and 'counted' or 'ended', stood[2] and '1' or '0'}
