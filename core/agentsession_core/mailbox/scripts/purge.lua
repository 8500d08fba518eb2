-- The session is gone; so is its mailbox, unless a newer session has taken it.
-- KEYS: every key of the mailbox, the mailbox hash first   ARGV: mailbox session_uid
local owner = redis.call('HGET', KEYS[1], 'session')
if owner and owner ~= ARGV[2] then return {'taken'} end
redis.call('DEL', unpack(KEYS))
redis.call('SREM', 'sessions:backlog', ARGV[1])
redis.call('SREM', 'sessions:mailboxes', ARGV[1])
redis.call('ZREM', 'sessions:activity', ARGV[1])
return {'purged'}
