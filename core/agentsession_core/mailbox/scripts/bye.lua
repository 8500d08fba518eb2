-- The drained runner wants to leave; a message that came meanwhile keeps it.
-- KEYS: run incoming turn mailbox   ARGV: mailbox run pod_uid
if redis.call('EXISTS', 'sessions:epoch') == 0 then return {'lost'} end
local run = redis.call('HMGET', KEYS[1], 'run', 'state', 'pod_uid', 'held', 'why')
if run[1] ~= ARGV[2] or run[2] == 'ended' then return {'stale'} end
if run[3] ~= ARGV[3] then return {'other_pod'} end
local held = run[4] == '1'
-- A turn that an earlier run left behind is not for one that came for an export into a held session.
local cut_off = redis.call('EXISTS', KEYS[3]) == 1 and not (held and run[5] == 'Exporting')
if cut_off or (redis.call('XLEN', KEYS[2]) > 0 and not held) then
  redis.call('HSET', KEYS[1], 'state', 'open')
  redis.call('HDEL', KEYS[1], 'held', 'why', 'drained_at', 'bye_at')
  redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'reopened')
  return {'reopened'}
end
local now = redis.call('TIME')
redis.call('HDEL', KEYS[4], 'failures', 'failed_run', 'failed_at', 'failure', 'failure_message')
redis.call('HSET', KEYS[1], 'state', 'drained', 'bye_at', now[1] .. '.' .. string.format('%06d', now[2]))
redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'bye')
return {'bye'}
