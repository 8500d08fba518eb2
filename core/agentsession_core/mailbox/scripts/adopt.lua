-- A session of the same user takes the mailbox over from one whose deletion nobody saw: a restored one.
-- KEYS: mailbox   ARGV: mailbox previous_uid session_uid user
if redis.call('HGET', KEYS[1], 'session') ~= ARGV[2] then return {'stale'} end
redis.call('HSET', KEYS[1], 'session', ARGV[3], 'user', ARGV[4], 'state', 'open')
redis.call('HDEL', KEYS[1], 'reopened', 'warned', 'warned_at')
redis.call('SADD', 'sessions:mailboxes', ARGV[1])
return {'adopted'}
