-- wrk's side of the token exchange: each request redeems a code of its own. `number` is the thread's, set by setup().
local codes, at, threads = {}, 0, 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  local line_number = 0
  for line in io.lines(os.getenv("BENCH_CODES")) do
    line_number = line_number + 1
    if line_number % 2 == number % 2 then codes[#codes + 1] = line end -- wrk runs with two threads
  end
end

function request()
  at = at + 1
  return wrk.format("POST", "/oauth/token", {
    ["Authorization"] = os.getenv("BENCH_BASIC"),
    ["Content-Type"] = "application/x-www-form-urlencoded",
  }, "grant_type=authorization_code&redirect_uri=https%3A%2F%2Fbench.invalid%2Fcb&code=" .. (codes[at] or "used_up")
     .. "&code_verifier=" .. os.getenv("BENCH_VERIFIER"))
end

dofile(os.getenv("BENCH_SCRIPTS") .. "/result.lua")
