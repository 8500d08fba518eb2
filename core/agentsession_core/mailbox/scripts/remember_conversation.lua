-- The CLI's own id of the conversation, known before the turn ends: a run that dies in it can resume.
-- KEYS: turn mailbox   ARGV: run turn agent_session_id
local record = redis.call('HMGET', KEYS[1], 'turn', 'run', 'conversation')
if record[1] ~= ARGV[2] or record[2] ~= ARGV[1] then return {'unknown_turn'} end
if record[3] ~= (redis.call('HGET', KEYS[2], 'conversation') or '1') then return {'other_conversation'} end
redis.call('HSET', KEYS[2], 'agent_session_id', ARGV[3])
return {'ok'}
