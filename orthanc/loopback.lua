-- Orthanc listens for DICOM on every address of the machine. A test PACS keeps only what this
-- machine sends. Leave this file out where Orthanc serves others.

function ReceivedInstanceFilter(tags, origin, info)
  return origin['RequestOrigin'] ~= 'DicomProtocol' or origin['RemoteIp'] == '127.0.0.1'
end
