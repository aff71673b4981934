"""One module per client. Run as programs by `cell`: the job arrives on stdin, the outcome on
stdout.

One line of JSON each: the job; then `{"ready": VERSION}` from the client and `go` to it;
`{"at": WORD}` and `on` at a checkpoint; at the end `{"returned": ...}` or
`{"raised": TYPE, "text": ...}`. The client's log, at every level, goes to stderr, which is searched
for secrets.
"""
