-- wrk's side of the bare route.
function request()
  return wrk.format("POST", "/bare", {["Content-Type"] = "application/json"}, '{"amount_yen":1}')
end

dofile(os.getenv("BENCH_SCRIPTS") .. "/result.lua")
