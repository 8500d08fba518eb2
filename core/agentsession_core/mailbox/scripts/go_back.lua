-- The conversation before becomes the one to go on with, and the present one the one before.
-- Refused while there is work: what waits belongs to the present conversation. A run that knows the
-- present one is to end: the next one learns of the other with its hello.
-- KEYS: mailbox incoming turn run seen   ARGV: mailbox seen_seconds why
local state = KEYS[1]
local seen = redis.call('GET', KEYS[5])
if seen then return {seen} end
if redis.call('XLEN', KEYS[2]) > 0 or redis.call('EXISTS', KEYS[3]) == 1 then return {'busy'} end
local box = redis.call('HMGET', state, 'conversation', 'agent_session_id', 'previous_session_id', 'state')
if not box[3] or box[4] == 'closed' then return {'none'} end
redis.call('HSET', state, 'conversation', string.format('%d', tonumber(box[1] or '1') + 1), 'agent_session_id', box[3])
if box[2] then
  redis.call('HSET', state, 'previous_session_id', box[2])
else
  redis.call('HDEL', state, 'previous_session_id')
end
redis.call('SET', KEYS[5], 'back', 'EX', ARGV[2])
if redis.call('HGET', KEYS[4], 'state') == 'open' then
  local now = redis.call('TIME')
  redis.call('HSET', KEYS[4], 'state', 'drained', 'why', ARGV[3], 'held', '1',
    'drained_at', now[1] .. '.' .. string.format('%06d', now[2]))
end
redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'drain')
return {'back'}
