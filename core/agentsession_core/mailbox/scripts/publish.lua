-- Appends an entry to a stream, once per key however often it is tried.
-- KEYS: stream, the key that says it was done. ARGV: seconds that is remembered, limit or '', fields.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return {'known'}
end
local command = {'XADD', KEYS[1]}
if ARGV[2] ~= '' then
  command[#command + 1] = 'MAXLEN'
  command[#command + 1] = '~'
  command[#command + 1] = ARGV[2]
end
command[#command + 1] = '*'
for i = 3, #ARGV do
  command[#command + 1] = ARGV[i]
end
redis.call(unpack(command))
redis.call('SET', KEYS[2], '1', 'EX', ARGV[1])
return {'new'}
