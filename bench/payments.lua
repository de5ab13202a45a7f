-- wrk's side: each request a random member's token and a key of its own, which begins at random as clients' keys do;
-- every acknowledged key is written down.
-- `number` is global: setup() sets it in each thread's own state.
local tokens, run, acknowledged, sent, threads = {}, os.getenv("BENCH_RUN"), nil, 0, 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  for line in io.lines(os.getenv("BENCH_TOKENS")) do tokens[#tokens + 1] = line end
  math.randomseed(number * 7919 + os.time())
  acknowledged = io.open(os.getenv("BENCH_ACKNOWLEDGED") .. "." .. number, "w")
end

function request()
  sent = sent + 1
  return wrk.format("POST", "/v1/payments", {
    ["Authorization"] = "Bearer " .. tokens[math.random(#tokens)],
    ["Content-Type"] = "application/json",
    ["Idempotency-Key"] = string.format("%08x-%s-%d-%d", math.random(0, 2147483647), run, number, sent),
  }, '{"amount_yen":1,"money":"meal","shop":"canteen"}')
end

function response(status, headers, body)
  if status == 201 then
    acknowledged:write(body:match('"request_id":"([^"]+)"'), "\n")
    acknowledged:flush()
  end
end

dofile(os.getenv("BENCH_SCRIPTS") .. "/result.lua")
