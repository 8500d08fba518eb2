-- The user has been told when the session ends.
-- KEYS: mailbox   ARGV: mailbox session_uid end
local owner = redis.call('HGET', KEYS[1], 'session')
if owner and owner ~= ARGV[2] then return {'taken'} end
if redis.call('HGET', KEYS[1], 'warned') == ARGV[3] then return {'known'} end
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'warned', ARGV[3], 'warned_at', now[1] .. '.' .. string.format('%06d', now[2]))
redis.call('SADD', 'sessions:mailboxes', ARGV[1])
return {'noted'}
