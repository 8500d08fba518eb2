-- The session is gone; so is its mailbox, unless a newer session has taken it. Messages that came after the
-- mailbox was closed, and what was not yet delivered, are left to the session that they ask for.
-- KEYS: every key of the mailbox: its hash first, incoming second, outgoing last   ARGV: mailbox session_uid
local box = redis.call('HMGET', KEYS[1], 'session', 'reopened', 'conversation', 'incoming_bytes')
if box[1] and box[1] ~= ARGV[2] then return {'taken'} end
local first, last = 1, #KEYS
if box[2] then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'state', 'open', 'conversation', box[3] or '1', 'incoming_bytes', box[4] or '0')
  first, last = 3, #KEYS - 1
end
redis.call('DEL', unpack(KEYS, first, last))
if box[2] then return {'left'} end
redis.call('SREM', 'sessions:backlog', ARGV[1])
redis.call('SREM', 'sessions:mailboxes', ARGV[1])
redis.call('ZREM', 'sessions:activity', ARGV[1])
return {'purged'}
