"""The hospital side: DICOM in, workitems, DICOM out, and the pages that show it.

A study's way through the rooms, in walking order:

    inbound/association   a DICOM association          -> C-STORE statuses, bytes handed on
    inbound/instances     dataset bytes + file meta    -> a durable Part 10 file in the spool
    inbound/headers       dataset bytes                -> the few attributes the ledger keeps
    inbound/studies       arrivals, association ends   -> a complete study, with the evidence
    jobs/routing          study, routes                -> what runs on which series, and why
    jobs/worklist         those matches                -> workitems, SCHEDULED, committed
    jobs/tasks            a workitem UID               -> a message that holds only that UID
    jobs/worker           a workitem UID               -> the whole way from claim to COMPLETED
    inbound/volumes       the instances of a series    -> a Volume
    outbound/seg, sr      findings + source datasets   -> DICOM objects
    outbound/gate         those objects                -> the same, proved right; or quarantine
    outbound/delivery     objects, destinations        -> stored in the PACS and confirmed there
"""
