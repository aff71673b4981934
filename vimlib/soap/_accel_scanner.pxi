"""Tokens of a content: texts, references, comments, sections, the ends of tags, open tags.

    text      ::= (PLAIN | HIGH | reference | ']')*          without ']]>'
    reference ::= '&' ('lt' | 'gt' | 'amp' | 'quot' | 'apos') ';'    others: expat's
    markup    ::= '<!--' ... '-->' | '<![CDATA[' ... ']]>' | '<?' ... '?>'
    end tag   ::= '</' NAME BLANK* '>'
    tag       ::= '<' (no '<' or '>' | '"' ... '"' | "'" ... "'")* '>'
"""

# What a byte is
cdef enum:
    PLAIN = 1       # stands for itself in a text
    HIGH = 2        # part of a character beyond ASCII
    NAME = 4        # may stand in a name
    START = 8       # may begin one
    BLANK = 16

cdef unsigned char KIND[256]


cdef void _fill_kinds() noexcept:
    cdef int c
    for c in range(256):
        KIND[c] = 0
        if c >= 128:
            KIND[c] = HIGH
        elif c >= 32 and c != c'<' and c != c'&' and c != c']':
            KIND[c] = PLAIN
        if c == 9 or c == 10:
            KIND[c] = PLAIN
        if c == 32 or c == 9 or c == 10 or c == 13:
            KIND[c] |= BLANK
        if c'a' <= c <= c'z' or c'A' <= c <= c'Z' or c == c'_':
            KIND[c] |= NAME | START
        if c'0' <= c <= c'9' or c == c'-' or c == c'.':
            KIND[c] |= NAME


_fill_kinds()


cdef int specials(const char* p, Py_ssize_t n) noexcept:
    """Return 1 if there are control characters, plus 2 if there are bytes beyond ASCII."""
    cdef unsigned long long word, high = 0, low = 0
    cdef Py_ssize_t at = 0
    while at + 8 <= n:
        memcpy(&word, p + at, 8)
        high |= word
        low |= (word - 0x2020202020202020ULL) & ~word
        at += 8
    while at < n:
        high |= <unsigned char>p[at]
        low |= 0x80 if <unsigned char>p[at] < 32 else 0
        at += 1
    return (low & 0x8080808080808080ULL != 0) + 2 * (high & 0x8080808080808080ULL != 0)


cdef class Scanner:
    """The bytes in hand and the open tags around them."""

    # Where they begin, as expat counts: lines from 1, columns in characters from 0
    cdef Py_ssize_t line, column
    cdef bint after_cr
    # The bytes in hand
    cdef readonly bytes rest
    cdef const char* p
    cdef const char* e
    cdef bytes root                 # a start tag that declares the prefixes in force
    # Open tags below the message's: their names one behind the other
    cdef char* names
    cdef Py_ssize_t names_size, names_room
    cdef Py_ssize_t* starts         # of each name
    cdef Py_ssize_t* declared       # how many prefixes each has declared
    cdef Py_ssize_t* hints
    cdef Py_ssize_t open_tags, open_room
    cdef Py_ssize_t hint            # where in the structure the next child is looked for first

    def __cinit__(self):
        self.names_room, self.open_room = 1024, 64
        self.names = <char*>PyMem_Malloc(self.names_room)
        self.starts = <Py_ssize_t*>PyMem_Malloc(self.open_room * sizeof(Py_ssize_t))
        self.declared = <Py_ssize_t*>PyMem_Malloc(self.open_room * sizeof(Py_ssize_t))
        self.hints = <Py_ssize_t*>PyMem_Malloc(self.open_room * sizeof(Py_ssize_t))
        if not self.names or not self.starts or not self.declared or not self.hints:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.names)
        PyMem_Free(self.starts)
        PyMem_Free(self.declared)
        PyMem_Free(self.hints)

    cdef int advance(self, const char* p, const char* e) except -1:
        """Move the place over bytes that end between two characters."""
        cdef int special
        cdef const char* q
        if p == e:
            return 0
        if self.after_cr:  # a line's end of which the second half may come now
            self.line, self.column, self.after_cr = self.line + 1, 0, False
            p += p[0] == 10
        if e > p and e[-1] == 13:
            self.after_cr = True
            e -= 1
        special = specials(p, e - p)
        if special & 1:
            q = p
            while q < e:
                q += 1
                if q[-1] == 10 or q[-1] == 13:
                    q += q[-1] == 13 and q < e and q[0] == 10
                    self.line, self.column, p = self.line + 1, 0, q
        self.column += e - p
        if special & 2:
            while p < e:
                self.column -= (p[0] & 0xC0) == 0x80
                p += 1
        return 0

    cdef const char* text_end(self, const char* p, int* seen) except? NULL:
        """Return where a text ends: at `<`, or at the end of the bytes in hand.

        `seen` collects: HIGH, 512 for a reference, 256 for what needs a closer look.
        """
        cdef int f = seen[0]
        cdef unsigned char c
        while True:
            c = KIND[<unsigned char>p[0]]
            if c & (PLAIN | HIGH):
                f |= c
                p += 1
                continue
            if p[0] == c'<':
                break
            if p[0] == 0 and p >= self.e:
                break
            if p[0] == c']':
                if p[1] == c']' and p + 1 < self.e and p[2] == c'>':
                    f |= 256
            else:
                f |= 512 if p[0] == c'&' else 256
            p += 1
        seen[0] = f & (HIGH | 256 | 512)
        return p

    cdef object check_text(self, const char* p, Py_ssize_t n, int seen):
        """Return a text that needs a closer look. Raises if it is none."""
        cdef object text
        if seen & (256 | 512):
            text = self.dereferenced(p, n) if seen == 512 else None
            return read_text(self.root, PyBytes_FromStringAndSize(p, n)) if text is None else text
        text = PyUnicode_DecodeUTF8(p, n, NULL)
        self.check_characters(p, n)
        return text

    cdef object dereferenced(self, const char* p, Py_ssize_t n):
        """Return an ASCII text with the five named references replaced; None if it has others."""
        cdef object found = PyBytes_FromStringAndSize(NULL, n)
        cdef char* out = PyBytes_AS_STRING(found)
        cdef const char* e = p + n
        cdef Py_ssize_t size = 0
        cdef Py_ssize_t left
        while p < e:
            if p[0] != c'&':
                out[size] = p[0]
                p += 1
            else:
                left = e - p
                if left >= 4 and memcmp(p, b"&lt;", 4) == 0:
                    out[size] = c'<'
                    p += 4
                elif left >= 4 and memcmp(p, b"&gt;", 4) == 0:
                    out[size] = c'>'
                    p += 4
                elif left >= 5 and memcmp(p, b"&amp;", 5) == 0:
                    out[size] = c'&'
                    p += 5
                elif left >= 6 and memcmp(p, b"&quot;", 6) == 0:
                    out[size] = c'"'
                    p += 6
                elif left >= 6 and memcmp(p, b"&apos;", 6) == 0:
                    out[size] = c"'"
                    p += 6
                else:
                    return None
            size += 1
        return PyUnicode_DecodeUTF8(out, size, NULL)

    cdef int check_characters(self, const char* p, Py_ssize_t n) except -1:
        """Refuse U+FFFE and U+FFFF, which are UTF-8 and no characters."""
        cdef const char* q
        while n >= 3:
            q = <const char*>memchr(p, 0xEF, n - 2)
            if q == NULL:
                return 0
            if <unsigned char>q[1] == 0xBF and <unsigned char>q[2] >= 0xBE:
                raise Malformed("not a character")
            n -= q + 1 - p
            p = q + 1
        return 0

    cdef const char* content_end(self, const char* p, int* seen) except? NULL:
        """Return where the content of a leaf ends: at the `<` of a tag, or at the end of the bytes."""
        cdef const char* start = p
        cdef const char* q
        while True:
            p = self.text_end(p, seen)
            if p >= self.e or (p[1] != c'!' and p[1] != c'?'):
                return p
            seen[0] |= 256
            try:
                q = self.markup_end(p)
            except Malformed:
                self.check_text(start, p - start, seen[0])  # what is wrong before it comes first
                raise
            if q == NULL:
                return self.e
            p = q

    cdef const char* markup_end(self, const char* p) except? NULL:
        """Return where a comment, a section or an instruction ends; NULL: it is not complete."""
        cdef Py_ssize_t left = self.e - p
        if p[1] == c'?':
            return self.after(p + 2, b"?>", 2)
        if left >= 4 and memcmp(p, b"<!--", 4) == 0:
            return self.after(p + 4, b"-->", 3)
        if left >= 9 and memcmp(p, b"<![CDATA[", 9) == 0:
            return self.after(p + 9, b"]]>", 3)
        # Refused no earlier than by expat, which looks at as many bytes as these.
        if left < 3 or (p[2] == c'[' and left < 9) or (p[2] == c'-' and left < 4):
            return NULL
        raise Malformed("invalid markup")

    cdef const char* after(self, const char* p, const char* mark, Py_ssize_t length) except? NULL:
        cdef const char* q
        while self.e - p >= length:
            q = <const char*>memchr(p, mark[0], self.e - p - length + 1)
            if q == NULL:
                return NULL
            if memcmp(q, mark, length) == 0:
                return q + length
            p = q + 1
        return NULL

    cdef const char* tag_end(self, const char* p) except? NULL:
        """Return where the `>` of the tag at `p` is, NULL if it is not there yet."""
        cdef const char* q
        p += 1
        while True:
            if p[0] == c'>':
                return p
            if p[0] == c'<':
                raise Malformed("invalid token in a tag")
            if p[0] == c'"' or p[0] == c"'":
                q = <const char*>memchr(p + 1, p[0], self.e - p - 1) if self.e - p > 1 else NULL
                if q == NULL:
                    return NULL
                p = q
            if p >= self.e:
                return NULL
            p += 1

    cdef int open_tag(self, const char* name, Py_ssize_t length, Py_ssize_t declared) except -1:
        """Remember an open tag by its name as written."""
        cdef void* grown
        if self.open_tags + 1 >= self.open_room:
            self.open_room *= 2
            for_each = self.open_room * sizeof(Py_ssize_t)
            grown = PyMem_Realloc(self.starts, for_each)
            if not grown:
                raise MemoryError
            self.starts = <Py_ssize_t*>grown
            grown = PyMem_Realloc(self.declared, for_each)
            if not grown:
                raise MemoryError
            self.declared = <Py_ssize_t*>grown
            grown = PyMem_Realloc(self.hints, for_each)
            if not grown:
                raise MemoryError
            self.hints = <Py_ssize_t*>grown
        if self.names_size + length > self.names_room:
            while self.names_size + length > self.names_room:
                self.names_room *= 2
            grown = PyMem_Realloc(self.names, self.names_room)
            if not grown:
                raise MemoryError
            self.names = <char*>grown
        self.starts[self.open_tags] = self.names_size
        self.declared[self.open_tags] = declared
        self.hints[self.open_tags] = self.hint
        memcpy(self.names + self.names_size, name, length)
        self.names_size += length
        self.open_tags += 1
        return 0

    cdef bint close_tag(self) except -1:
        """Read the end tag of the innermost open tag. False: it is not complete."""
        cdef Py_ssize_t start = self.starts[self.open_tags - 1]
        return self.end_tag(self.names + start, self.names_size - start)

    cdef bint end_tag(self, const char* name, Py_ssize_t length) except -1:
        """Read the end tag of that name. False: it is not complete."""
        cdef const char* q = self.p + 2
        if self.e - q < length + 1:
            return False
        if memcmp(q, name, length) != 0:
            return self.mismatched(q)
        q += length
        while KIND[<unsigned char>q[0]] & BLANK:
            q += 1
        if q[0] != c'>':
            return self.mismatched(q)
        self.p = q + 1
        return True

    cdef bint mismatched(self, const char* p) except -1:
        """Refuse an end tag that is complete, as expat does; False: it is not complete."""
        if p >= self.e or memchr(p, c'>', self.e - p) == NULL:
            return False
        raise Malformed("mismatched tag")
