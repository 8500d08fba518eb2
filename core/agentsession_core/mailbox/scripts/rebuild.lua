-- Redis has forgotten this mailbox, or a part of it: what the API server knows is put in its place.
-- KEYS: mailbox run turn incoming usage ended
-- ARGV: mailbox session_uid user agent_session_id last_activity handled run expected begun_at pod_uid pod launch lost_message
--       turns input_tokens output_tokens cost_nanousd
local state, runkey, turnkey, incoming = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now = redis.call('TIME')
local at = now[1] .. '.' .. string.format('%06d', now[2])
local owner = redis.call('HGET', state, 'session')
-- The session is gone: what asks for this has not heard of it yet.
if redis.call('GET', KEYS[6]) == ARGV[2] then return {'ended'} end
if owner and owner ~= ARGV[2] then return {'taken'} end
redis.call('HSET', state, 'session', ARGV[2], 'user', ARGV[3], 'state', 'open', 'rebuilt_at', at)
redis.call('HDEL', state, 'reopened', 'warned', 'warned_at')
if ARGV[4] ~= '' then redis.call('HSETNX', state, 'agent_session_id', ARGV[4]) end
if ARGV[13] ~= '' then redis.call('HSET', state, 'lost_message', ARGV[13]) end
redis.call('SADD', 'sessions:mailboxes', ARGV[1])
redis.call('ZADD', 'sessions:activity', 'GT', ARGV[5], ARGV[1])

local function split(id)
  local dash = string.find(id, '-', 1, true)
  return tonumber(string.sub(id, 1, dash - 1)), tonumber(string.sub(id, dash + 1))
end
local function handled(id)
  local a, b = split(id)
  local c, d = split(ARGV[6])
  return a < c or (a == c and b <= d)
end
if ARGV[6] ~= '' then
  redis.call('HSET', state, 'handled', ARGV[6])
  local ids = redis.call('HGET', turnkey, 'ids')
  if ids then
    ids = cjson.decode(ids)
    if #ids == 0 or handled(ids[#ids]) then redis.call('DEL', turnkey) end
  end
  for _, item in ipairs(redis.call('XRANGE', incoming, '-', ARGV[6])) do
    pcall(redis.call, 'XACK', incoming, 'agent', item[1])
    redis.call('XDEL', incoming, item[1])
  end
  if redis.call('XLEN', incoming) == 0 then
    redis.call('SREM', 'sessions:backlog', ARGV[1])
    redis.call('HSET', state, 'incoming_bytes', 0)
  end
end
if ARGV[7] ~= '' and (redis.call('HGET', runkey, 'run') or '') == ARGV[8] then
  redis.call('DEL', runkey)
  redis.call('HSET', runkey, 'run', ARGV[7], 'state', 'open', 'begun_at', ARGV[9], 'launch', ARGV[12])
  -- Bound again: its runner has said hello to a Redis that is gone, and says it only once.
  if ARGV[10] ~= '' then redis.call('HSET', runkey, 'pod_uid', ARGV[10], 'pod', ARGV[11]) end
end
if redis.call('EXISTS', KEYS[5]) == 0 and tonumber(ARGV[14]) > 0 then
  redis.call('HSET', KEYS[5], 'turns', ARGV[14], 'input_tokens', ARGV[15], 'output_tokens', ARGV[16])
  if ARGV[17] ~= '' then redis.call('HSET', KEYS[5], 'cost_nanousd', ARGV[17]) else redis.call('HSET', KEYS[5], 'unpriced', 1) end
end
redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'rebuilt')
return {'rebuilt'}
