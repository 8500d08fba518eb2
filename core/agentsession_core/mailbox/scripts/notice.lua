-- Something is said to a person that answers no turn, once per notice id: in the chat, to a terminal's
-- followers, or (source `prompt`) nowhere but in the session's status, which is not this script's affair.
-- KEYS: notices outgoing events   ARGV: mailbox notice_id source chat reply_to text kept
local now = redis.call('TIME')
local at = now[1] .. '.' .. string.format('%06d', now[2])
if redis.call('ZADD', KEYS[1], 'NX', at, ARGV[2]) == 0 then return {'known'} end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - tonumber(ARGV[7]))
if ARGV[3] == 'terminal' then
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', '1000', '*', 'turn', '', 'seq', '0', 'kind', 'notice', 'source', 'terminal',
    'data', cjson.encode({id = ARGV[2], text = ARGV[6], messages = cjson.decode(ARGV[5])}))
elseif ARGV[3] ~= 'prompt' then
  redis.call('XADD', KEYS[2], '*', 'id', ARGV[2], 'kind', 'notice', 'reply_to', ARGV[5], 'chat', ARGV[4],
    'turn', '', 'outcome', '', 'text', ARGV[6], 'at', at)
  redis.call('XADD', 'outgoing:ready', '*', 'mailbox', ARGV[1])
end
return {'new'}
