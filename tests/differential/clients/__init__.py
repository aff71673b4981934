"""One module a client. Run as programs by `cell`: a job comes in on stdin, what happened goes out.

A line of JSON each: the job; then `{"ready": VERSION}` from the client and `go` to it; `{"at": WORD}`
and `on` at a checkpoint; at the end `{"returned": ...}` or `{"raised": TYPE, "text": ...}`. All that the
client logs, at every level, goes to stderr, where secrets are looked for.
"""
