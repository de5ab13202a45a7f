-- wrk's side of the refresh: each thread turns its refresh tokens over, the successor of one going to the end of the
-- line. `number` is the thread's, set by setup().
local line, first, last, threads = {}, 1, 0, 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  local line_number = 0
  for token in io.lines(os.getenv("BENCH_REFRESH")) do
    line_number = line_number + 1
    if line_number % 2 == number % 2 then -- wrk runs with two threads
      last = last + 1
      line[last] = token
    end
  end
end

function request()
  local token = line[first] or "used_up"
  line[first] = nil
  first = first + 1
  return wrk.format("POST", "/oauth/token", {
    ["Authorization"] = os.getenv("BENCH_BASIC"),
    ["Content-Type"] = "application/x-www-form-urlencoded",
  }, "grant_type=refresh_token&refresh_token=" .. token)
end

function response(status, headers, body)
  local successor = body:match('"refresh_token":%s*"([^"]+)"')
  if successor then
    last = last + 1
    line[last] = successor
  end
end

dofile(os.getenv("BENCH_SCRIPTS") .. "/result.lua")
