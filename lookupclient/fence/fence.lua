-- Shows a token at a resource: what follows is run when the token is as large as every one before; otherwise the reply is
-- the error STALE and the newest token. KEYS[1] is where the resource's newest token is kept, without an expiry, and ARGV[1]
-- the token, as 20 decimal digits: numbers of Lua are too short, and texts of one length have the order of their numbers.
do
  local newest = redis.call('GET', KEYS[1])
  if newest and ARGV[1] < newest then
    return redis.error_reply('STALE ' .. newest)
  end
  redis.call('SET', KEYS[1], ARGV[1])
end
