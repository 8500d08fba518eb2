-- The next piece of a file that is on its way; the same piece again changes nothing.
-- KEYS: files pieces   ARGV: file upload offset piece
local known = redis.call('HGET', KEYS[1], ARGV[1])
local file = known and cjson.decode(known)
if not file or file.upload ~= ARGV[2] then return {'gone'} end
local offset, behind = tonumber(ARGV[3]), tonumber(ARGV[3]) + #ARGV[4]
if behind > file.size then return {'too_large'} end
if file.held == offset then
  file.held = behind
  redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(file))
  redis.call('RPUSH', KEYS[2], ARGV[4])
  redis.call('EXPIREAT', KEYS[2], string.format('%d', file['until']))
elseif file.held ~= behind then
  return {'gone'}
end
return {'ok', file.held == file.size and '1' or '0'}
