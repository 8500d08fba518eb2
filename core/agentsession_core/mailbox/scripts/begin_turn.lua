-- The current run is given its turn: the recorded one again, or a new one of what waits.
-- KEYS: incoming run turn mailbox events last
-- ARGV: mailbox run pod_uid new_turn_id timeout_seconds max_messages
local incoming, runkey, turnkey = KEYS[1], KEYS[2], KEYS[3]
if redis.call('EXISTS', 'sessions:epoch') == 0 then return {'lost'} end
local run = redis.call('HMGET', runkey, 'run', 'state', 'pod_uid', 'hello_at', 'why')
if run[1] ~= ARGV[2] or run[2] == 'ended' then return {'stale'} end
if run[3] ~= ARGV[3] then return {'other_pod'} end
local now = redis.call('TIME')
local at = now[1] .. '.' .. string.format('%06d', now[2])
if not run[4] then
  -- Redis had lost the run, and its runner does not say hello twice.
  redis.call('HSET', runkey, 'hello_at', at)
  redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'hello')
end

local function field(entry, name)
  for i = 1, #entry, 2 do if entry[i] == name then return entry[i + 1] end end
  return nil
end
local function message(id, entry)
  return {id = field(entry, 'id') or id, text = field(entry, 'text') or '', files = field(entry, 'files') or '[]'}
end
local function order(ids, step, stages)
  local messages = {}
  for _, id in ipairs(ids) do
    local found = redis.call('XRANGE', incoming, id, id)
    if found[1] then messages[#messages + 1] = message(id, found[1][2]) end
  end
  local record = redis.call('HMGET', turnkey, 'turn', 'attempt', 'conversation', 'deadline', 'cancelled_at')
  return {'turn', record[1], record[2], record[3], record[4], at, cjson.encode(messages), record[5] and '1' or '0', step,
    stages and cjson.encode(stages) or ''}
end

-- Whoever follows the events learns whose messages the turn has taken up. Their text is there only
-- for those who see all of the cluster's own sources: chat stays with its chat (docs/adr/0009).
local function tell(attempt, ids)
  local record = redis.call('HMGET', turnkey, 'turn', 'source')
  local source, messages = record[2], {}
  for _, id in ipairs(ids) do
    local found = redis.call('XRANGE', incoming, id, id)
    if found[1] then
      local own = message(id, found[1][2])
      local open = source == 'terminal' or source == 'prompt'
      messages[#messages + 1] = {id = own.id, text = open and own.text:sub(1, 4096) or nil}
    end
  end
  if #messages == 0 then return end
  redis.call('XADD', KEYS[5], 'MAXLEN', '~', '1000', '*', 'turn', record[1], 'seq', '0', 'kind', 'turn', 'source', source,
    'data', cjson.encode({phase = 'begun', attempt = attempt, messages = messages, at = at}))
end

-- What the turn's oldest message found, and when what happened to it. Texts: cjson rounds numbers.
local function stages(id, entry)
  local stood = redis.call('HMGET', runkey, 'launch', 'begun_at', 'job_made_at', 'started_at', 'hello_at')
  local came = tonumber(field(entry, 'at') or '') or tonumber(id:match('^%d+')) / 1000
  local launch, ended = stood[1] or 'cold', redis.call('HGET', KEYS[6], 'finished_at')
  if ended and tonumber(ended) > came then launch = 'behind'
  elseif stood[5] and tonumber(stood[5]) <= came then launch = 'warm' end
  return {came = string.format('%.6f', came), launch = launch, wake = stood[2] or nil, job_made = stood[3] or nil,
    pod_started = stood[4] or nil, hello = stood[5] or nil, turn_given = at}
end

local recorded = redis.call('HMGET', turnkey, 'turn', 'run', 'ids')
-- A run that is there for an export takes up nobody's turn.
if run[2] == 'drained' and run[5] == 'Exporting' then return {'drained'} end
if recorded[1] then
  local again = recorded[2] ~= ARGV[2]
  if again then
    -- The run that had it is gone: another attempt with a full timeout.
    local attempt = redis.call('HINCRBY', turnkey, 'attempt', 1)
    redis.call('HSET', turnkey, 'run', ARGV[2], 'deadline', now[1] + ARGV[5])
    redis.call('HDEL', turnkey, 'model_status', 'model_code', 'model_detail')
    tell(attempt, cjson.decode(recorded[3]))
    redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'turn')
  end
  return order(cjson.decode(recorded[3]), again and 'again' or '')
end
if run[2] ~= 'open' then return {'drained'} end
if redis.call('XLEN', incoming) == 0 then return {'empty'} end
pcall(redis.call, 'XGROUP', 'CREATE', incoming, 'agent', '0', 'MKSTREAM')
redis.call('XREADGROUP', 'GROUP', 'agent', 'agent', 'COUNT', 1000, 'STREAMS', incoming, '>')
local pending = redis.call('XREADGROUP', 'GROUP', 'agent', 'agent', 'COUNT', ARGV[6], 'STREAMS', incoming, '0')
if not pending or not pending[1] then return {'empty'} end
local default_conversation = redis.call('HGET', KEYS[4], 'conversation') or '1'
local ids, first, oldest = {}, nil, nil
for _, item in ipairs(pending[1][2]) do
  local id, entry = item[1], item[2]
  if not entry then
    redis.call('XACK', incoming, 'agent', id)
  else
    local key = {field(entry, 'source') or 'api', field(entry, 'chat') or '', field(entry, 'conversation') or default_conversation}
    if first == nil then first, oldest = key, stages(id, entry) end
    if key[1] ~= first[1] or key[2] ~= first[2] or key[3] ~= first[3] then break end
    ids[#ids + 1] = id
  end
end
if #ids == 0 then return {'empty'} end
redis.call('HSET', turnkey, 'turn', ARGV[4], 'run', ARGV[2], 'ids', cjson.encode(ids), 'source', first[1],
  'chat', first[2], 'conversation', first[3], 'attempt', 1, 'deadline', now[1] + ARGV[5], 'started_at', at,
  'came_at', oldest.came, 'launch', oldest.launch)
tell(1, ids)
redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'turn')
return order(ids, 'new', oldest)
