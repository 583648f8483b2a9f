"""One HTTP step: the request, the guard for its address, the exchange, and the answer as a result."""
