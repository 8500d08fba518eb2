-- A file of the running turn is about to come, whatever was held under its number before.
-- KEYS: turn files pieces   ARGV: turn number name size mailbox_bytes keep_seconds
local record = redis.call('HMGET', KEYS[1], 'turn', 'source')
if record[1] ~= ARGV[1] then return {'unknown_turn'} end
if record[2] == 'terminal' or record[2] == 'prompt' then return {'no_chat'} end
local now = redis.call('TIME')
local own, size, held = ARGV[1] .. '.' .. ARGV[2], tonumber(ARGV[4]), 0
local known = redis.call('HGETALL', KEYS[2])
for i = 1, #known, 2 do
  local file = cjson.decode(known[i + 1])
  if known[i] == own or file['until'] < tonumber(now[1]) then
    redis.call('HDEL', KEYS[2], known[i])
  else
    held = held + file.size
  end
end
redis.call('DEL', KEYS[3])
if held + size > tonumber(ARGV[5]) then return {'full'} end
-- Files never take the half that messages need: a Redis that is full stops everybody.
local memory = redis.call('INFO', 'memory')
local most, used = tonumber(memory:match('maxmemory:(%d+)') or '0'), tonumber(memory:match('used_memory:(%d+)') or '0')
if most > 0 and used + size > most / 2 then return {'store_full'} end
local upload = now[1] .. '.' .. string.format('%06d', now[2])
redis.call('HSET', KEYS[2], own, cjson.encode({name = ARGV[3], size = size, held = 0, upload = upload,
  ['until'] = now[1] + ARGV[6]}))
redis.call('EXPIRE', KEYS[2], ARGV[6])
return {'ok', upload}
