-- The run is to end. Refused while there is work, unless a person suspended the session.
-- KEYS: run turn incoming   ARGV: mailbox run by_hand
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[2] then return {'stale'} end
if redis.call('HGET', KEYS[1], 'state') ~= 'open' then return {'drained'} end
if redis.call('EXISTS', KEYS[2]) == 1 then return {'busy'} end
if ARGV[3] ~= '1' and redis.call('XLEN', KEYS[3]) > 0 then return {'busy'} end
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'state', 'drained', 'held', ARGV[3], 'drained_at', now[1] .. '.' .. string.format('%06d', now[2]))
redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'drain')
return {'drained'}
