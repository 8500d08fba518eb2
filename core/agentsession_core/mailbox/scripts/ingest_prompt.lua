-- spec.prompt becomes a message exactly once per change.
-- KEYS: incoming prompt mailbox ended
-- ARGV: mailbox uid generation sha256 text known_sha256 max_messages max_bytes known_generation
local mailbox, uid, generation, sha, text = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local incoming, prompt, state = KEYS[1], KEYS[2], KEYS[3]
-- The session is gone: what asks for this has not heard of it yet.
if redis.call('GET', KEYS[4]) == uid then return {'outdated', ''} end
local known = redis.call('HMGET', prompt, 'uid', 'generation', 'sha256')
local ahead = not known[3] or known[1] ~= uid or tonumber(known[2]) < tonumber(ARGV[9])
if ARGV[6] == sha and ahead then
  -- Redis was emptied, or has gone back in time: the session's status remembers the prompt.
  redis.call('HSET', prompt, 'uid', uid, 'generation', generation, 'sha256', sha)
  return {'known', ''}
end
if known[3] == sha then
  if known[1] ~= uid or tonumber(known[2]) < generation then
    redis.call('HSET', prompt, 'uid', uid, 'generation', generation)
  end
  return {'known', ''}
end
if known[1] == uid and generation <= tonumber(known[2]) then
  return {'outdated', ''}
end
-- Two more for the empty list of files, which counts as in every message.
local bytes = tonumber(redis.call('HGET', state, 'incoming_bytes') or '0')
if redis.call('XLEN', incoming) >= tonumber(ARGV[7]) or bytes + #text + 2 > tonumber(ARGV[8]) then
  return {'full', ''}
end
local now = redis.call('TIME')
local at = now[1] .. '.' .. string.format('%06d', now[2])
local id = uid .. '.' .. ARGV[3]
redis.call('HSET', prompt, 'uid', uid, 'generation', generation, 'sha256', sha)
redis.call('HSET', state, 'state', 'open', 'session', uid)
redis.call('HDEL', state, 'reopened')
redis.call('HINCRBY', state, 'incoming_bytes', #text + 2)
local conversation = redis.call('HGET', state, 'conversation') or '1'
redis.call('XADD', incoming, '*', 'id', id, 'source', 'prompt', 'chat', '',
  'conversation', conversation, 'text', text, 'files', '[]', 'at', at)
redis.call('SADD', 'sessions:backlog', mailbox)
redis.call('SADD', 'sessions:mailboxes', mailbox)
redis.call('ZADD', 'sessions:activity', at, mailbox)
redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', mailbox, 'kind', 'message')
return {'new', id}
