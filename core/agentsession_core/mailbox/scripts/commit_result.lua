-- A turn ends: its messages go, its answer stays, in one step.
-- KEYS: incoming turn last mailbox usage outgoing events run files
-- ARGV: mailbox run turn outcome text agent_session_id error_code error_message files
local incoming, turnkey, last, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('EXISTS', 'sessions:epoch') == 0 then return {'lost'} end
if redis.call('HGET', last, 'turn') == ARGV[3] then return {'already'} end
local record = redis.call('HMGET', turnkey, 'turn', 'run', 'ids', 'source', 'chat', 'started_at', 'model_status', 'attempt', 'conversation',
  'model_code', 'model_detail', 'came_at', 'launch')
if record[1] ~= ARGV[3] then return {'unknown_turn'} end
if record[2] ~= ARGV[2] then return {'stale'} end
local now = redis.call('TIME')
local at = now[1] .. '.' .. string.format('%06d', now[2])
local ids, message_ids, bytes = cjson.decode(record[3]), {}, 0
for _, id in ipairs(ids) do
  local found = redis.call('XRANGE', incoming, id, id)
  if found[1] then
    local entry, own = found[1][2], id
    for i = 1, #entry, 2 do
      if entry[i] == 'id' then own = entry[i + 1] end
      if entry[i] == 'text' or entry[i] == 'files' then bytes = bytes + #entry[i + 1] end
    end
    message_ids[#message_ids + 1] = own
  end
  redis.call('XACK', incoming, 'agent', id)
  redis.call('XDEL', incoming, id)
end
redis.call('DEL', turnkey)
if redis.call('HGET', KEYS[8], 'last_turn') then
  -- In the same step: a message that waits would be given to this run otherwise.
  redis.call('HDEL', KEYS[8], 'last_turn')
  redis.call('HSET', KEYS[8], 'state', 'drained', 'held', '1', 'drained_at', at)
end
redis.call('DEL', last)
redis.call('HSET', last, 'turn', ARGV[3], 'run', ARGV[2], 'source', record[4], 'outcome', ARGV[4], 'reply', ARGV[5],
  'error_code', ARGV[7], 'error_message', ARGV[8], 'model_status', record[7] or '', 'attempt', record[8],
  'model_code', record[10] or '', 'model_detail', record[11] or '',
  'started_at', record[6], 'finished_at', at, 'message_id', message_ids[#message_ids] or '',
  'entry', ids[#ids] or '', 'came_at', record[12] or '', 'launch', record[13] or '')
if ARGV[6] ~= '' and record[9] == (redis.call('HGET', state, 'conversation') or '1') then
  redis.call('HSET', state, 'agent_session_id', ARGV[6])
end
if redis.call('XLEN', incoming) == 0 then
  redis.call('SREM', 'sessions:backlog', ARGV[1])
  redis.call('HSET', state, 'incoming_bytes', 0)
else
  -- Never below zero: an entry added by hand was not counted when it came.
  local counted = tonumber(redis.call('HGET', state, 'incoming_bytes') or '0')
  redis.call('HSET', state, 'incoming_bytes', math.max(0, counted - bytes))
end
redis.call('HINCRBY', KEYS[5], 'turns', 1)
redis.call('HINCRBY', KEYS[8], 'turns', 1)
redis.call('HDEL', state, 'failures', 'failed_run', 'failed_at', 'failure', 'failure_message')
redis.call('ZADD', 'sessions:activity', at, ARGV[1])
-- A terminal's answer is this event; the whole of a long one is in `last`. Others learn that it ended.
local open = record[4] == 'terminal' or record[4] == 'prompt'
redis.call('XADD', KEYS[7], 'MAXLEN', '~', '1000', '*', 'turn', ARGV[3], 'seq', '0', 'kind', 'turn', 'source', record[4],
  'data', cjson.encode({phase = 'ended', outcome = ARGV[4], messages = message_ids, at = at, truncated = open and #ARGV[5] > 65536,
    text = open and ARGV[5]:sub(1, 65536) or nil, errorMessage = open and ARGV[8] or nil}))
if record[4] ~= 'terminal' and record[4] ~= 'prompt' then
  -- An empty list would be encoded as an object.
  redis.call('XADD', KEYS[6], '*', 'id', ARGV[3], 'kind', 'answer', 'reply_to', message_ids[1] and cjson.encode(message_ids) or '[]',
    'chat', record[5], 'turn', ARGV[3], 'outcome', ARGV[4], 'text', ARGV[5], 'at', at,
    'came_at', record[12] or '', 'launch', record[13] or '')
  -- With the answer or never: of an attempt that was cut off nothing has been said.
  for _, number in ipairs(cjson.decode(ARGV[9])) do
    local name = ARGV[3] .. '.' .. number
    local held = redis.call('HGET', KEYS[9], name)
    local file = held and cjson.decode(held)
    if file and file.held == file.size then
      redis.call('XADD', KEYS[6], '*', 'id', name, 'kind', 'file', 'reply_to', '[]', 'chat', record[5],
        'turn', ARGV[3], 'outcome', '', 'text', file.name, 'file', name, 'at', at)
    end
  end
  redis.call('XADD', 'outgoing:ready', '*', 'mailbox', ARGV[1])
end
redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'result')
return {'committed', record[4], record[12] and cjson.encode({came = record[12], launch = record[13], result = at}) or '',
  message_ids[1] and cjson.encode(message_ids) or '[]'}
