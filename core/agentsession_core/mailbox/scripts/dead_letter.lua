-- Messages are given up: they go to `dead`, their sender is told, the next message has its way.
-- Either the turn `turn`, cut off too often, or (turn empty) everything that came before `before`.
-- Refused unless it is still as the plan saw it: a result, a hello or a new run came first.
-- KEYS: incoming turn last mailbox outgoing events run dead
-- ARGV: mailbox run greeted turn max_deaths max_evictions before reason message text kept
local incoming, turnkey, last, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local record = redis.call('HMGET', turnkey, 'turn', 'run', 'ids', 'cut_run', 'deaths', 'evictions', 'attempt', 'started_at', 'source')
local now = redis.call('TIME')
local at = now[1] .. '.' .. string.format('%06d', now[2])

local function read(id, entry)
  local found = {source = 'api', chat = '', conversation = '', text = '', files = '[]', at = '', id = id}
  for i = 1, #entry, 2 do found[entry[i]] = entry[i + 1] end
  return found
end

local letters, ends_turn = {}, false
if ARGV[4] ~= '' then
  if record[1] ~= ARGV[4] or record[2] ~= ARGV[2] or record[4] ~= ARGV[2] then return {'refused'} end
  if tonumber(record[5] or '0') < tonumber(ARGV[5]) and tonumber(record[6] or '0') < tonumber(ARGV[6]) then return {'refused'} end
  ends_turn = true
  for _, id in ipairs(cjson.decode(record[3])) do
    local found = redis.call('XRANGE', incoming, id, id)
    if found[1] then letters[#letters + 1] = {id, read(id, found[1][2])} end
  end
else
  local run = redis.call('HMGET', KEYS[7], 'run', 'hello_at')
  if (run[1] or '') ~= ARGV[2] or (run[2] and '1' or '0') ~= ARGV[3] then return {'refused'} end
  local of_turn = {}
  for _, id in ipairs(record[1] and cjson.decode(record[3]) or {}) do of_turn[id] = true end
  for _, item in ipairs(redis.call('XRANGE', incoming, '-', '+')) do
    local entry = read(item[1], item[2])
    local came = tonumber(item[1]:match('^%d+')) / 1000
    -- A turn ends as a whole, and what stands behind a younger message waits for it.
    if came >= tonumber(ARGV[7]) and not (ends_turn and of_turn[item[1]]) then break end
    ends_turn = ends_turn or of_turn[item[1]] or false
    letters[#letters + 1] = {item[1], entry}
  end
end
if #letters == 0 and not ends_turn then return {'refused'} end

local turn = ends_turn and record[1] or ''
local groups, bytes = {}, 0
for _, letter in ipairs(letters) do
  local id, entry = letter[1], letter[2]
  local group = groups[#groups]
  if not group or group.source ~= entry.source or group.chat ~= entry.chat then
    group = {source = entry.source, chat = entry.chat, ids = {}, name = ends_turn and #groups == 0 and turn or 'dead-' .. id}
    groups[#groups + 1] = group
  end
  group.ids[#group.ids + 1] = entry.id
  bytes = bytes + #entry.text + #entry.files
  redis.call('XADD', KEYS[8], 'MAXLEN', ARGV[11], '*', 'id', entry.id, 'source', entry.source, 'chat', entry.chat,
    'conversation', entry.conversation, 'text', entry.text, 'files', entry.files, 'at', entry.at,
    'turn', turn, 'attempts', ends_turn and record[7] or '0', 'reason', ARGV[8], 'died_at', at)
  redis.call('XDEL', incoming, id)
  pcall(redis.call, 'XACK', incoming, 'agent', id)
end
if ends_turn then redis.call('DEL', turnkey) end
local notices = 0
for _, group in ipairs(groups) do
  local reply_to = cjson.encode(group.ids)
  local is_open = group.source == 'terminal' or group.source == 'prompt'
  redis.call('XADD', KEYS[6], 'MAXLEN', '~', '1000', '*', 'turn', group.name, 'seq', '0', 'kind', 'turn', 'source', group.source,
    'data', cjson.encode({phase = 'ended', outcome = 'DeadLettered', messages = group.ids, at = at, truncated = false,
      text = is_open and ARGV[10] or nil, errorMessage = is_open and ARGV[9] or nil}))
  if not is_open then
    notices = notices + 1
    redis.call('XADD', KEYS[5], '*', 'id', group.name, 'kind', 'notice', 'reply_to', reply_to, 'chat', group.chat,
      'turn', turn, 'outcome', 'DeadLettered', 'text', ARGV[10], 'at', at)
    redis.call('XADD', 'outgoing:ready', '*', 'mailbox', ARGV[1])
  end
end
local own_ids = {}
for _, letter in ipairs(letters) do own_ids[#own_ids + 1] = letter[2].id end
local newest, final = groups[#groups], letters[#letters]
if newest then
  redis.call('DEL', last)
  redis.call('HSET', last, 'turn', newest.name, 'run', ends_turn and record[2] or ARGV[2], 'source', newest.source,
    'outcome', 'DeadLettered', 'reply', '', 'error_code', ARGV[8], 'error_message', ARGV[9], 'model_status', '',
    'attempt', ends_turn and record[7] or '0', 'model_code', '', 'model_detail', '',
    'started_at', ends_turn and record[8] or at, 'finished_at', at, 'message_id', final[2].id, 'entry', final[1])
end
if redis.call('XLEN', incoming) == 0 then
  redis.call('SREM', 'sessions:backlog', ARGV[1])
  redis.call('HSET', state, 'incoming_bytes', 0)
else
  local counted = tonumber(redis.call('HGET', state, 'incoming_bytes') or '0')
  redis.call('HSET', state, 'incoming_bytes', math.max(0, counted - bytes))
end
-- A turn was activity; a message that nobody could take is none, and the session may expire.
if ARGV[4] ~= '' then redis.call('ZADD', 'sessions:activity', at, ARGV[1]) end
redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'dead')
return {'dead', tostring(#letters), tostring(notices), ends_turn and record[9] or '',
  own_ids[1] and cjson.encode(own_ids) or '[]'}
