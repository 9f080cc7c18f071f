-- What wrk sends and what it checks. BODY is what is posted (without it: GET), WRITE what every tenth request posts instead,
-- WRITTEN what the answer to a write must have in it where it is not ours, CODES a file of codes to load in turn, EXPECT the whole body that must come back, CLIENTS=1 a new client each time,
-- SPREAD how many clients take turns.
local body, write, expect = os.getenv('BODY'), os.getenv('WRITE'), os.getenv('EXPECT')
local codes, count = {}, 0
local json = { ['content-type'] = 'application/json' }
bad = 0

if os.getenv('BODY_FILE') then
  local file = io.open(os.getenv('BODY_FILE'))
  body = file:read('*a')
  file:close()
end
if os.getenv('CODES') then
  for code in io.lines(os.getenv('CODES')) do codes[#codes + 1] = code end
end

local threads = {}
function setup(thread) threads[#threads + 1] = thread end

-- Made before the measurement, so that making them takes nothing from it.
local ready = {}
function init()
  local spread = tonumber(os.getenv('SPREAD'))
  local function add(body)
    if spread then json['x-client'] = string.format('10.0.%d.%d', #ready % spread / 256, #ready % spread % 256) end
    ready[#ready + 1] = body and wrk.format('POST', nil, json, body) or wrk.format('GET')
  end
  if #codes > 0 then for _, code in ipairs(codes) do add('{"code":"' .. code .. '"}') end
  else for _ = 1, spread or 1 do add(body) end end
  if write then
    for _ = #ready + 1, 9 do add(body) end
    ready[10] = wrk.format('POST', '/api/write', json, write)
  end
end

function request()
  if os.getenv('CLIENTS') then
    local client = string.format('2001:%x:%x:%x::1', math.random(65535), math.random(65535), math.random(65535))
    return wrk.format('POST', nil, { ['content-type'] = 'application/json', ['x-client'] = client }, body)
  end
  count = count % #ready + 1
  return ready[count]
end

function response(status, _, answer)
  local right
  if status == 200 then right = expect == nil or answer == expect
  elseif os.getenv('WRITTEN') then right = status == 201 and answer:find(os.getenv('WRITTEN'), 1, true)
  else right = status == 201 and answer:find('^{"code":"%a%a%a%a","expiresAt":"[^"]+","eraseToken":"[%w_-]+"}$') end
  if not right then
    bad = bad + 1
    if bad == 1 then io.stderr:write(status, ' ', answer:sub(1, 200), '\n') end
  end
end

function done(summary, latency)
  local wrong = 0
  for _, thread in ipairs(threads) do wrong = wrong + thread:get('bad') end
  local e = summary.errors
  io.write(string.format('\n{"rate":%f,"p50":%f,"p99":%f,"longest":%f,"requests":%d,"failed":%d}\n',
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000,
    summary.requests, wrong + e.connect + e.read + e.write + e.timeout))
end
