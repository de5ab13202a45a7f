-- wrk's side of the batch: each request charges the next members of its thread's half, as a service does that charges
-- everybody, every payment under a key of its own. A payment that was refused is an error; of every acknowledged batch
-- the first key is written down, from which the others follow (batches.py): wrk takes its time from the same processors.
-- Keys begin all over the range, as clients' keys do. `number` is the thread's, set by setup().
local members, run, acknowledged, sent, threads = {}, os.getenv("BENCH_RUN"), nil, 0, 0
local payments = tonumber(os.getenv("BENCH_PAYMENTS"))
local format, headers = string.format, {
  ["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN"),
  ["Content-Type"] = "application/json",
}

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  local line_number = 0
  for line in io.lines(os.getenv("BENCH_MEMBERS")) do
    line_number = line_number + 1
    if line_number % 2 == number % 2 then members[#members + 1] = line end -- wrk runs with two threads
  end
  acknowledged = io.open(os.getenv("BENCH_ACKNOWLEDGED") .. "." .. number, "w")
end

function request()
  local rows = {}
  for row = 1, payments do
    sent = sent + 1
    rows[row] = format(
      '{"request_id":"%08x-%s-%d-%d","member":"%s","money":"meal","shop":"canteen","amount_yen":1}',
      sent * 2654435761 % 4294967296, run, number, sent, members[1 + sent % #members])
  end
  return wrk.format("POST", "/v1/payments/batch", headers, '{"payments":[' .. table.concat(rows, ",") .. "]}")
end

function response(status, headers, body)
  if status ~= 200 then return end
  if body:find('"problem":%s*{') then error("a payment was refused: " .. body:match('"problem":%s*(%b{})')) end
  acknowledged:write(body:match('"request_id":%s*"([^"]+)"'), "\n")
  acknowledged:flush()
end

dofile(os.getenv("BENCH_SCRIPTS") .. "/result.lua")
