-- The session is to be deleted for idleness. Refused while there is work.
-- KEYS: mailbox incoming turn   ARGV: session_uid
local owner = redis.call('HGET', KEYS[1], 'session')
-- Another session's mailbox is none of this one's: neither its work nor its state.
if owner and owner ~= ARGV[1] then return {'closed'} end
if redis.call('EXISTS', KEYS[3]) == 1 or redis.call('XLEN', KEYS[2]) > 0 then return {'busy'} end
redis.call('HSET', KEYS[1], 'state', 'closed', 'session', ARGV[1])
redis.call('HDEL', KEYS[1], 'reopened')
return {'closed'}
