-- A run becomes the mailbox's current one before its Job is made.
-- KEYS: run mailbox   ARGV: mailbox run expected session_uid launch user
local current = redis.call('HGET', KEYS[1], 'run') or ''
if current == ARGV[2] then return {'ok', current} end
if current ~= ARGV[3] then return {'conflict', current} end
local now = redis.call('TIME')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'run', ARGV[2], 'state', 'open', 'launch', ARGV[5], 'begun_at', now[1] .. '.' .. string.format('%06d', now[2]))
redis.call('HSET', KEYS[2], 'state', 'open', 'session', ARGV[4])
redis.call('HDEL', KEYS[2], 'reopened', 'held_told')
if ARGV[6] ~= '' then redis.call('HSET', KEYS[2], 'user', ARGV[6]) end
redis.call('SADD', 'sessions:mailboxes', ARGV[1])
return {'ok', current}
