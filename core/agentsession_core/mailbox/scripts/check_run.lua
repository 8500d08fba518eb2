-- May this pod speak for this run now? Also says whether a turn runs or ended lately.
-- KEYS: run turn last   ARGV: run pod_uid grace_seconds
if redis.call('EXISTS', 'sessions:epoch') == 0 then return {'lost'} end
local run = redis.call('HMGET', KEYS[1], 'run', 'state', 'pod_uid', 'bye_at')
if run[1] ~= ARGV[1] or run[2] == 'ended' then return {'stale'} end
if run[3] ~= ARGV[2] then return {'other_pod'} end
local turn = redis.call('HMGET', KEYS[2], 'turn', 'source', 'model_request_at', 'first_token_at')
if turn[1] then return {'ok', run[2], turn[1], '1', turn[2], turn[3] and '1' or '0', turn[4] and '1' or '0'} end
local finished = tonumber(redis.call('HGET', KEYS[3], 'finished_at') or '0')
-- A run that said bye has nothing left to do: its pod's token stays valid, and may be in other hands.
local recent = not run[4] and tonumber(redis.call('TIME')[1]) - finished <= tonumber(ARGV[3])
return {'ok', run[2], '', recent and '1' or '0', '', '0', '0'}
