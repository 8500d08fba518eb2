-- The workspace was handed over, or nobody waits for it any more.
-- KEYS: export run   ARGV: mailbox id
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[2] then return {'gone'} end
redis.call('DEL', KEYS[1])
if redis.call('HGET', KEYS[2], 'state') == 'drained' then
  -- From now on its runner has its grace to leave.
  local now = redis.call('TIME')
  redis.call('HSET', KEYS[2], 'drained_at', now[1] .. '.' .. string.format('%06d', now[2]))
end
redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'exported')
return {'ok'}
