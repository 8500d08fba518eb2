-- A run becomes the mailbox's current one before its Job is made.
-- One that is made for an export alone is drained from its beginning: it hands over the workspace, says
-- bye, and stays only if a message came meanwhile (never if `held`: the session is suspended by hand).
-- KEYS: run mailbox export ended   ARGV: mailbox run expected session_uid launch user export_only held
local current = redis.call('HGET', KEYS[1], 'run') or ''
-- The session is gone: what asks for this has not heard of it yet.
if redis.call('GET', KEYS[4]) == ARGV[4] then return {'conflict', current} end
if current == ARGV[2] then return {'ok', current} end
if current ~= ARGV[3] then return {'conflict', current} end
local now = redis.call('TIME')
-- Until its hello says otherwise: a condition that goes and comes with each run would be no news.
local skill_problem = redis.call('HGET', KEYS[1], 'skill_problem') or ''
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'run', ARGV[2], 'state', 'open', 'launch', ARGV[5], 'skill_problem', skill_problem, 'begun_at', now[1] .. '.' .. string.format('%06d', now[2]))
if ARGV[7] == '1' then
  redis.call('HSET', KEYS[1], 'state', 'drained', 'held', ARGV[8], 'why', 'Exporting', 'drained_at', now[1] .. '.' .. string.format('%06d', now[2]))
end
-- An export gets one run: one that cannot start is not followed by the next.
if redis.call('EXISTS', KEYS[3]) == 1 then redis.call('HSET', KEYS[3], 'run', ARGV[2]) end
redis.call('HSET', KEYS[2], 'state', 'open', 'session', ARGV[4])
redis.call('HDEL', KEYS[2], 'reopened', 'held_told')
if ARGV[6] ~= '' then redis.call('HSET', KEYS[2], 'user', ARGV[6]) end
redis.call('SADD', 'sessions:mailboxes', ARGV[1])
return {'begun', current}
