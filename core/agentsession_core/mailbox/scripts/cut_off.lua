-- A run ended in the middle of its turn, by its own doing or not. Counted once per run, in the turn.
-- KEYS: turn   ARGV: mailbox run own
local record = redis.call('HMGET', KEYS[1], 'run', 'cut_run')
if record[1] ~= ARGV[2] then return {'stale'} end
if record[2] == ARGV[2] then return {'known'} end
redis.call('HINCRBY', KEYS[1], ARGV[3] == '1' and 'deaths' or 'evictions', 1)
redis.call('HSET', KEYS[1], 'cut_run', ARGV[2])
-- The next run is started at the next look: at once.
redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'cut')
return {'counted'}
