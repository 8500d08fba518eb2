-- The run's Job is there.
-- KEYS: run   ARGV: run
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] then return {'stale'} end
local now = redis.call('TIME')
redis.call('HSETNX', KEYS[1], 'job_made_at', now[1] .. '.' .. string.format('%06d', now[2]))
return {'ok'}
