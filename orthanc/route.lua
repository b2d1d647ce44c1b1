-- Auto-routing: every stable study goes to the AI node by C-STORE.
--
--   what       the series that scanners and people made; never the node's own results
--   how often  once, and again for a series that has grown since
--   node away  the failed job is run again after 5 s, 10 s, 20 s ... 10 minutes
--
-- What was sent is written on the series as metadata SentToNode, so a result that arrives and makes
-- the study stable anew sends nothing. Needs in orthanc.json: DicomModalities.ainode and
-- UserMetadata.SentToNode; LuaHeartBeatPeriod where Orthanc knows it (1.11.1 and later).

local NODE = 'ainode'
local RESULT_MANUFACTURER = 'AI Node'
local FIRST_WAIT_SECONDS = 5
local LONGEST_WAIT_SECONDS = 600

local waits = {}  -- job -> seconds waited before its next run
local due = {}    -- job -> time of its next run

local function get(uri)
  local answer = RestApiGet(uri, false)
  return answer and ParseJson(answer)
end

-- The series to send, and the metadata that says so once they are on their way.
local function unsent(studyId)
  local ids, stamps = {}, {}
  for _, series in ipairs(get('/studies/' .. studyId .. '/series') or {}) do
    local id = series['ID']
    local sent = get('/series/' .. id .. '/metadata?expand')['SentToNode']
    if series['MainDicomTags']['Manufacturer'] ~= RESULT_MANUFACTURER and sent ~= series['LastUpdate'] then
      table.insert(ids, id)
      stamps[id] = series['LastUpdate']
    end
  end
  return ids, stamps
end

function OnStableStudy(studyId, tags, metadata)
  local ids, stamps = unsent(studyId)
  if #ids == 0 then
    return
  end
  local order = {Resources = ids, Asynchronous = true}
  if RestApiPost('/modalities/' .. NODE .. '/store', DumpJson(order, true), false) then
    for id, stamp in pairs(stamps) do
      RestApiPut('/series/' .. id .. '/metadata/SentToNode', stamp, false)
    end
  end
end

-- Whether the job is a send to the node, and something of it is still in the archive.
local function worthRetrying(job)
  if not job or job['Type'] ~= 'DicomModalityStore' then
    return false
  end
  for _, id in ipairs(job['Content']['ParentResources'] or {}) do
    if RestApiGet('/series/' .. id, false) then
      return true
    end
  end
  return false
end

function OnJobFailure(jobId)
  if worthRetrying(get('/jobs/' .. jobId)) then
    waits[jobId] = math.min(2 * (waits[jobId] or FIRST_WAIT_SECONDS / 2), LONGEST_WAIT_SECONDS)
    due[jobId] = os.time() + waits[jobId]
    print(string.format('The node did not take a study; next try in %d s (job %s)', waits[jobId], jobId))
  end
end

function OnJobSuccess(jobId)
  waits[jobId] = nil
end

local function retryWhatIsDue()
  for jobId, time in pairs(due) do
    if time <= os.time() then
      due[jobId] = nil
      RestApiPost('/jobs/' .. jobId .. '/resubmit', '', false)
    end
  end
end

function OnHeartBeat()
  retryWhatIsDue()
end

-- Orthanc before 1.11.1 has no heart beat: there, every HTTP request to it is one.
function IncomingHttpRequestFilter(method, uri, ip, username, httpHeaders)
  retryWhatIsDue()
  return true
end

-- Jobs that had failed when Orthanc was stopped.
function Initialize()
  for _, jobId in ipairs(get('/jobs') or {}) do
    local job = get('/jobs/' .. jobId)
    if job and job['State'] == 'Failure' and worthRetrying(job) then
      due[jobId] = os.time()
    end
  end
end
