-- The session is gone: whoever waits for an answer is told, and the mailbox goes; its outgoing stays
-- until it is delivered. Nothing is touched that a newer session has taken.
-- KEYS: mailbox incoming outgoing turn run last prompt usage events control dead notices ended said
-- ARGV: mailbox session_uid text remember_seconds
local state, incoming, outgoing = KEYS[1], KEYS[2], KEYS[3]
local box = redis.call('HMGET', state, 'session', 'reopened')
if box[1] and box[1] ~= ARGV[2] then return {'taken'} end
-- Told a second time (an answer was lost, two operators tell it): what waits now came after the first and
-- asks for the next session. Only the sweep, which names no session, ends what nobody came for.
if not box[1] and ARGV[2] ~= '' and redis.call('XLEN', incoming) > 0 then return {'taken'} end
-- An operator whose watch is late would take the empty mailbox for one that Redis has forgotten, make it
-- anew and answer its last message a second time.
if ARGV[2] ~= '' then redis.call('SET', KEYS[13], ARGV[2], 'EX', ARGV[4]) end
local function hint(kind)
  redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', kind)
end
if box[2] and redis.call('XLEN', incoming) > 0 then
  -- It was closed for its deletion and a message opened it again: that one is for the next session.
  redis.call('DEL', KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[14])
  local kept = redis.call('HMGET', state, 'conversation', 'incoming_bytes', 'source', 'chat')
  redis.call('DEL', state)
  redis.call('HSET', state, 'state', 'open', 'conversation', kept[1] or '1', 'incoming_bytes', kept[2] or '0')
  if kept[3] then redis.call('HSET', state, 'source', kept[3], 'chat', kept[4]) end
  hint('reopened')
  return {'reopened', '0'}
end
local now = redis.call('TIME')
local at = now[1] .. '.' .. string.format('%06d', now[2])
local waiting, chats, ids = 0, {}, {}
for _, item in ipairs(redis.call('XRANGE', incoming, '-', '+')) do
  local entry, id, source, chat = item[2], item[1], 'api', ''
  for i = 1, #entry, 2 do
    if entry[i] == 'id' then id = entry[i + 1] end
    if entry[i] == 'source' then source = entry[i + 1] end
    if entry[i] == 'chat' then chat = entry[i + 1] end
  end
  waiting = waiting + 1
  -- As with answers: a prompt's sender looks at the session, a terminal's at its events.
  if source ~= 'prompt' and source ~= 'terminal' then
    if not ids[chat] then
      ids[chat] = {}
      chats[#chats + 1] = chat
    end
    table.insert(ids[chat], id)
  end
end
for _, chat in ipairs(chats) do
  redis.call('XADD', outgoing, '*', 'id', 'deleted.' .. ids[chat][1], 'kind', 'notice', 'reply_to', cjson.encode(ids[chat]),
    'chat', chat, 'turn', '', 'outcome', '', 'text', ARGV[3], 'at', at)
  redis.call('XADD', 'outgoing:ready', '*', 'mailbox', ARGV[1])
end
redis.call('DEL', state, incoming, KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[14])
redis.call('SREM', 'sessions:backlog', ARGV[1])
redis.call('SREM', 'sessions:mailboxes', ARGV[1])
redis.call('ZREM', 'sessions:activity', ARGV[1])
if redis.call('XLEN', outgoing) > 0 then
  redis.call('ZADD', 'sessions:undelivered', at, ARGV[1])
else
  redis.call('DEL', outgoing)
end
hint('deleted')
return {'ended', tostring(waiting), tostring(#chats)}
