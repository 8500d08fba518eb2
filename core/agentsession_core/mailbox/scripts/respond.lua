-- The agent says something in the middle of its turn: before the turn's answer, once per id.
-- KEYS: run turn said outgoing events   ARGV: mailbox run id text most_per_turn remember_seconds
if redis.call('EXISTS', 'sessions:epoch') == 0 then return {'lost', '', ''} end
local run = redis.call('HMGET', KEYS[1], 'run', 'state')
if run[1] ~= ARGV[2] or run[2] == 'ended' then return {'stale', '', ''} end
local turn = redis.call('HMGET', KEYS[2], 'turn', 'run', 'source', 'chat', 'cancelled_at', 'responses')
local name, source = turn[1] or '', turn[3] or ''
if redis.call('ZSCORE', KEYS[3], ARGV[3]) then return {'known', name, source} end
if not turn[1] or turn[2] ~= ARGV[2] then return {'no_turn', '', ''} end
if turn[5] then return {'stopped', name, source} end
if tonumber(turn[6] or '0') >= tonumber(ARGV[5]) then return {'too_many', name, source} end
local now = redis.call('TIME')
local at = now[1] .. '.' .. string.format('%06d', now[2])
redis.call('HINCRBY', KEYS[2], 'responses', 1)
redis.call('ZADD', KEYS[3], at, ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now[1] - ARGV[6])
redis.call('EXPIRE', KEYS[3], ARGV[6])
if source == 'terminal' or source == 'prompt' then
  redis.call('XADD', KEYS[5], 'MAXLEN', '~', '1000', '*', 'turn', name, 'seq', '0', 'kind', 'respond', 'source', source,
    'data', cjson.encode({text = ARGV[4]}))
else
  redis.call('XADD', KEYS[4], '*', 'id', ARGV[3], 'kind', 'respond', 'reply_to', '[]', 'chat', turn[4] or '',
    'turn', name, 'outcome', '', 'text', ARGV[4], 'at', at)
  redis.call('XADD', 'outgoing:ready', '*', 'mailbox', ARGV[1])
end
return {'said', name, source}
