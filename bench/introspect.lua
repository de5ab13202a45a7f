-- wrk's side of introspection: each request asks about a random member's token.
local tokens = {}

function init(args)
  for line in io.lines(os.getenv("BENCH_TOKENS")) do tokens[#tokens + 1] = line end
  math.randomseed(os.time())
end

function request()
  return wrk.format("POST", "/oauth/introspect", {
    ["Authorization"] = os.getenv("BENCH_BASIC"),
    ["Content-Type"] = "application/x-www-form-urlencoded",
  }, "token=" .. tokens[math.random(#tokens)])
end

function response(status, headers, body)
  if not body:find('"active": *true') then error("a living token was called dead: " .. body) end
end

dofile(os.getenv("BENCH_SCRIPTS") .. "/result.lua")
