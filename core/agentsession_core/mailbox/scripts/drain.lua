-- The run is to end. Refused while there is work; by hand it ends although messages wait, and a
-- running turn is its last: the script that commits the turn drains it.
-- KEYS: run turn incoming   ARGV: mailbox run by_hand why
local run = redis.call('HMGET', KEYS[1], 'run', 'state')
if run[1] ~= ARGV[2] or run[2] == 'ended' then return {'stale'} end
if run[2] ~= 'open' then return {'drained'} end
local by_hand = ARGV[3] == '1'
if redis.call('EXISTS', KEYS[2]) == 1 then
  if by_hand then redis.call('HSET', KEYS[1], 'last_turn', '1', 'why', ARGV[4]) end
  return {'busy'}
end
if not by_hand and redis.call('XLEN', KEYS[3]) > 0 then return {'busy'} end
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'state', 'drained', 'held', ARGV[3], 'why', ARGV[4], 'drained_at', now[1] .. '.' .. string.format('%06d', now[2]))
redis.call('HDEL', KEYS[1], 'last_turn')
redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'drain')
return {'drained'}
