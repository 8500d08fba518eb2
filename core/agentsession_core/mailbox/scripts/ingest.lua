-- A person's message comes in, once per source and id. The source's own acknowledgement comes after it.
-- KEYS: incoming mailbox seen outgoing
-- ARGV: mailbox source id chat text files new_conversation max_messages max_bytes seen_seconds
--       max_outgoing
local incoming, state = KEYS[1], KEYS[2]
local seen = redis.call('GET', KEYS[3])
if seen then
  local conversation, reopened = seen:match('^(%d+) (%d)$')
  return {'known', conversation, reopened}
end
local box = redis.call('HMGET', state, 'conversation', 'incoming_bytes', 'state')
local conversation, bytes = box[1] or '1', tonumber(box[2] or '0') + #ARGV[5] + #ARGV[6]
-- `/new` without a word begins a conversation and leaves nothing to answer.
local is_empty = ARGV[7] == '1' and ARGV[5] == '' and ARGV[6] == '[]'
if not is_empty then
  if redis.call('XLEN', incoming) >= tonumber(ARGV[8]) then return {'too_many', conversation, '0'} end
  if bytes > tonumber(ARGV[9]) then return {'too_large', conversation, '0'} end
  -- Only the size as Redis estimates it: whoever delivers deletes by hand, so nothing could be counted.
  local delivered = ARGV[2] == 'terminal' or (redis.call('MEMORY', 'USAGE', KEYS[4]) or 0) <= tonumber(ARGV[11])
  if not delivered then return {'undelivered', conversation, '0'} end
end
local now = redis.call('TIME')
local at = now[1] .. '.' .. string.format('%06d', now[2])
if ARGV[7] == '1' then
  conversation = string.format('%d', tonumber(conversation) + 1)
  redis.call('HSET', state, 'conversation', conversation)
  -- The CLI's id is the old conversation's: `/resume` goes back to it.
  local old = redis.call('HGET', state, 'agent_session_id')
  if old then redis.call('HSET', state, 'previous_session_id', old) end
  redis.call('HDEL', state, 'agent_session_id')
end
local reopened = '0'
if box[3] == 'closed' then
  -- Its session is being deleted: the clean-up leaves this message to the next session.
  reopened = '1'
  redis.call('HSET', state, 'reopened', '1')
end
redis.call('HSET', state, 'state', 'open')
-- Where to tell its people what answers no message.
if ARGV[2] ~= 'terminal' then redis.call('HSET', state, 'source', ARGV[2], 'chat', ARGV[4]) end
redis.call('SET', KEYS[3], conversation .. ' ' .. reopened, 'EX', ARGV[10])
redis.call('SADD', 'sessions:mailboxes', ARGV[1])
redis.call('ZADD', 'sessions:activity', at, ARGV[1])
if not is_empty then
  redis.call('HSET', state, 'incoming_bytes', string.format('%d', bytes))
  redis.call('XADD', incoming, '*', 'id', ARGV[3], 'source', ARGV[2], 'chat', ARGV[4],
    'conversation', conversation, 'text', ARGV[5], 'files', ARGV[6], 'at', at)
  redis.call('SADD', 'sessions:backlog', ARGV[1])
end
redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'message')
return {'new', conversation, reopened}
