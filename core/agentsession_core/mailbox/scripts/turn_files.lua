-- The files that came with the messages of the turn that runs: nobody else's.
-- KEYS: turn incoming   ARGV: turn
local record = redis.call('HMGET', KEYS[1], 'turn', 'ids')
if record[1] ~= ARGV[1] then return {'unknown_turn'} end
local answer = {'ok'}
for _, id in ipairs(cjson.decode(record[2])) do
  local found = redis.call('XRANGE', KEYS[2], id, id)
  local entry = found[1] and found[1][2] or {}
  for i = 1, #entry, 2 do if entry[i] == 'files' then answer[#answer + 1] = entry[i + 1] end end
end
return answer
