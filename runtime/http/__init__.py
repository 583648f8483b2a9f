"""One HTTP step: the request, the check of its address, the exchange, and the answer as a result.

    http_step    the step: permission, request, answer, record
    http_values  values into URLs, headers and bodies
    request      the node's configuration -> Request
    ssrf         which addresses may be reached
    exchange     Request -> Answer, on the wire
    envelope     Answer -> the result that workflows read

The worker calls `http_step.execute`; nothing here knows of leases beyond what it is handed.
"""
