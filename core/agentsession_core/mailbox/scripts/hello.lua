-- The first pod that says hello for the current run is bound to it.
-- KEYS: run mailbox   ARGV: mailbox run pod_uid pod_name uptime_seconds ('' where the runner does not say)
--   skill_problem
if redis.call('EXISTS', 'sessions:epoch') == 0 then return {'lost'} end
local run = redis.call('HMGET', KEYS[1], 'run', 'state', 'pod_uid', 'begun_at', 'launch')
if run[1] ~= ARGV[2] or run[2] == 'ended' then return {'stale'} end
if run[3] and run[3] ~= ARGV[3] then return {'other_pod'} end
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'pod_uid', ARGV[3], 'pod', ARGV[4], 'skill_problem', ARGV[6])
local at = now[1] .. '.' .. string.format('%06d', now[2])
local is_first = redis.call('HSETNX', KEYS[1], 'hello_at', at) == 1
if is_first and tonumber(ARGV[5]) then
  -- Only a figure: whatever a runner says lies between the run's begin and now.
  local started = math.min(tonumber(at), math.max(tonumber(run[4] or at), tonumber(at) - tonumber(ARGV[5])))
  redis.call('HSET', KEYS[1], 'started_at', string.format('%.6f', started))
end
redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'hello')
local conversation = redis.call('HGET', KEYS[2], 'conversation') or '1'
local agent_session = redis.call('HGET', KEYS[2], 'agent_session_id') or ''
return {'ok', conversation, agent_session, run[2], is_first and (run[5] or 'cold') or '',
  string.format('%.6f', tonumber(at) - tonumber(run[4] or at))}
