-- The session is to stay: its idle time begins anew. Refused once its deletion has begun.
-- KEYS: mailbox   ARGV: mailbox
if redis.call('HGET', KEYS[1], 'state') == 'closed' then return {'closed'} end
local now = redis.call('TIME')
local at = now[1] .. '.' .. string.format('%06d', now[2])
redis.call('HSET', KEYS[1], 'kept_at', at)
redis.call('ZADD', 'sessions:activity', at, ARGV[1])
redis.call('SADD', 'sessions:mailboxes', ARGV[1])
redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'keep')
return {'kept'}
