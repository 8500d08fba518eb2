-- The session sleeps by hand and messages wait: their chats are told once, until a run begins again.
-- They stay and will be answered, so nothing is said to be their answer.
-- KEYS: incoming mailbox turn outgoing events   ARGV: mailbox text with_turn
local incoming, state = KEYS[1], KEYS[2]
if redis.call('HEXISTS', state, 'held_told') == 1 then return {'known'} end
local now = redis.call('TIME')
local at = now[1] .. '.' .. string.format('%06d', now[2])
local running = {}
if ARGV[3] ~= '1' then
  for _, id in ipairs(cjson.decode(redis.call('HGET', KEYS[3], 'ids') or '[]')) do running[id] = true end
end
local told, notices, count = {}, 0, 0
for _, item in ipairs(redis.call('XRANGE', incoming, '-', '+')) do
  if not running[item[1]] then
    local source, chat = 'api', ''
    for i = 1, #item[2], 2 do
      if item[2][i] == 'source' then source = item[2][i + 1] elseif item[2][i] == 'chat' then chat = item[2][i + 1] end
    end
    count = count + 1
    local key = source .. '\0' .. chat
    if not told[key] then
      told[key], notices = true, notices + (source ~= 'prompt' and 1 or 0)
      local id = 'held-' .. item[1]
      if source == 'terminal' then
        redis.call('XADD', KEYS[5], 'MAXLEN', '~', '1000', '*', 'turn', '', 'seq', '0', 'kind', 'notice', 'source', source,
          'data', cjson.encode({id = id, text = ARGV[2]}))
      elseif source ~= 'prompt' then
        redis.call('XADD', KEYS[4], '*', 'id', id, 'kind', 'notice', 'reply_to', '[]', 'chat', chat,
          'turn', '', 'outcome', '', 'text', ARGV[2], 'at', at)
        redis.call('XADD', 'outgoing:ready', '*', 'mailbox', ARGV[1])
      end
    end
  end
end
if count == 0 then return {'empty'} end
redis.call('HSET', state, 'held_told', at)
return {'told', tostring(notices)}
