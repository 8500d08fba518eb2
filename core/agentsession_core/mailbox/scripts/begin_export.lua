-- Somebody waits for the workspace as a tar. One at a time; gone by itself when its gateway is.
-- KEYS: export   ARGV: mailbox id address seconds
if redis.call('EXISTS', KEYS[1]) == 1 then return {'busy'} end
redis.call('HSET', KEYS[1], 'id', ARGV[2], 'address', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'export')
return {'ok'}
