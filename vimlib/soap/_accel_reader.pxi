"""The content of a message, by recursive descent with a stack of our own.

    content   ::= (text | markup | element)* end tag of the message
    element   ::= empty tag | start tag (leaf | structure | opaque) end tag
    leaf      ::= (text | markup)*
    structure ::= (text | markup | element)*                 texts are ignored
    opaque    ::= (text | markup | element)*                 skipped, or kept as a text or a node
"""


cdef class Reader(Frames):
    """Reads the content of one message."""

    cdef readonly object result
    cdef object tables
    cdef bint placed
    cdef bytes message              # its tag as written
    cdef bint finished
    # An element that is skipped or kept
    cdef Py_ssize_t opaque          # open tags outside of it; -1: none
    cdef list kept                  # (head, name, pieces of text, children) for each open one
    cdef Py_ssize_t counted, loose
    cdef Py_ssize_t most_elements

    def __init__(self, context, shape, place, bytes message, counted):
        self.context = context
        self.resolver = context.resolver
        self.tables = context.tables
        self.namespace = context.tables.namespace
        self.message = message
        self.structure = structure_of(shape)
        self.values = [None] * self.structure.slots
        self.structures = [None]
        self.frames = [[None]]
        self.fields = [field_of(place)]
        self.deepest = context.limits.depth - 2
        self.most_text = context.limits.text
        self.most_elements = context.limits.elements
        self.counted = counted
        self.opaque = -1
        self.capture = None
        self.kept = []
        self.texts = None
        self.short_texts = 0
        self.prefixes = []
        self.scopes = {}
        self.made = {}
        self.rest = b""
        self.enter_scope()

    def locate(self, line, column, bytes before, bytes behind):
        """Keep the place up to date from now on.

        `before` begins at `line` and `column`; the place behind it is the end of `behind`.
        """
        cdef const char* p = PyBytes_AS_STRING(before)
        self.line, self.column, self.placed = line, column, True
        self.advance(p, p + PyBytes_GET_SIZE(before))
        self.column -= len(behind.decode())

    def reached(self):
        """Return the line and column up to which the message has been read."""
        if self.after_cr and (self.finished or self.rest):
            return self.line + 1, 0
        return self.line, self.column

    def prefix(self):
        """Return start tags, on one line, of the elements around the bytes in `rest`."""
        cdef Py_ssize_t at, end
        found = [self.root, b"<", self.message, b">"]
        for at in range(self.open_tags):
            end = self.starts[at + 1] if at + 1 < self.open_tags else self.names_size
            found += [b"<", self.names[self.starts[at]:end], b">"]
        return b"".join(found)

    def elements(self):
        """Return how many elements have begun."""
        return self.counted

    def read(self, bytes data):
        """Take the next bytes. Return None, or what stands behind the content of the message."""
        cdef bytes held = self.rest + data if self.rest else data
        cdef const char* start = PyBytes_AS_STRING(held)
        cdef bint more = True
        self.p = start
        self.e = start + PyBytes_GET_SIZE(held)
        self.leaf = None
        try:
            while more and not self.finished:
                if self.opaque >= 0:
                    more = self.pass_over()
                else:
                    more = self.step()
        except UnicodeDecodeError as error:
            raise Malformed(f"invalid UTF-8: {error.reason}") from None
        finally:
            if self.placed:
                self.advance(start, self.p)
            held = held[self.p - start:]
            self.p = self.e = NULL
            self.rest = held
        if self.counted > self.most_elements:
            self.context.check_elements(self.counted)
        if self.finished:
            self.rest = b""
            return held
        if len(held) > self.most_text + 65536:
            self.context.check_text(self.most_text + 1)
        return None

    cdef bint step(self) except -1:
        """Read on in the structure in hand. False: the next token is not complete."""
        cdef const char* p
        cdef const char* q
        cdef unsigned char c
        cdef Py_ssize_t length
        cdef Field field, found
        cdef bint empty
        while True:
            p = self.p
            if p[0] != c'<':
                if not self.between():
                    return False
                continue
            q = p + 1
            c = KIND[<unsigned char>q[0]]
            if c & START:
                q += 1
                while KIND[<unsigned char>q[0]] & NAME:
                    q += 1
                length = q - p - 1
                if q[0] == c'>':
                    q += 1
                    empty = False
                elif q[0] == c'/' and q[1] == c'>':
                    q += 2
                    empty = True
                else:
                    if q >= self.e:
                        return False
                    if not self.strange():
                        return False
                    if self.opaque >= 0:
                        return True
                    continue
                field = self.find(p + 1, length) if self.ours else None
                if field is None:
                    if self.structure.keeps or not self.skip_leaf(p + 1, length, q, empty):
                        self.p = q
                        self.unknown(self.simple_tag(p + 1, length), [], p + 1, length, [], empty)
                        if self.opaque >= 0:
                            return True
                    continue
                if field.kind == IS_LAZY:
                    self.tables.settle(field.item)
                    settle(field)
                if field.kind == IS_LEAF:
                    if not self.leaf_or_empty(field, p + 1, length, q, empty):
                        return False
                elif field.kind == IS_DATA:
                    self.counted += 1
                    self.p = q
                    self.push(field, p + 1, length, 0)
                    if empty:
                        self.pop()
                else:
                    found = self.refine(field, [])
                    if found is not None and found.kind == IS_LEAF:
                        if not self.leaf_or_empty(found, p + 1, length, q, empty):
                            return False
                        continue
                    self.p = q
                    self.begin(found, p + 1, length, [], [], empty)
                    if self.opaque >= 0:
                        return True
            elif q[0] == c'/':
                if self.open_tags == 0:
                    return self.finish()
                if not self.close_tag():
                    return False
                self.pop()
            elif q >= self.e:
                return False
            elif q[0] == c'!' or q[0] == c'?':
                if not self.markup():
                    return False
            else:
                if not self.strange():
                    return False
                if self.opaque >= 0:
                    return True

    cdef bint between(self) except -1:
        """Pass the text between the children of a structure; it means nothing, and must be one."""
        cdef const char* p = self.p
        cdef const char* q
        cdef int seen = 0
        while KIND[<unsigned char>p[0]] & BLANK:
            p += 1
        self.loose += p - self.p
        if self.loose > self.most_text:
            self.context.check_text(self.loose)
        self.p = p
        if p[0] == c'<':
            return True
        if p >= self.e:
            return False
        q = self.text_end(p, &seen)
        if q >= self.e:
            return False
        if seen:
            self.check_text(p, q - p, seen)
        self.loose += q - p
        self.p = q
        return True

    cdef bint read_leaf(self, Field field, const char* name, Py_ssize_t length, const char* p) except -1:
        """Read a leaf from behind its start tag. False: it is not complete."""
        cdef int seen = 0
        cdef const char* q
        cdef Py_ssize_t n
        cdef object value
        cdef bint closed
        self.leaf = field
        q = self.content_end(p, &seen)
        if q >= self.e or q + 1 >= self.e:
            return False
        n = q - p
        if q[1] != c'/':
            q = self.tag_end(q)
            if q == NULL:
                return False
            raw = PyBytes_FromStringAndSize(self.p, q + 1 - self.p)
            # Expat waits for as many bytes as the first one of a character announces.
            if read_error(self.prefix(), raw + b"   ", (1, 0), final=False) is not None:
                raise Malformed("a value with something like a tag")
            raise InvalidValueError("unexpected child element in a value")
        if self.e - q < length + 3:
            return False
        q += 2
        closed = memcmp(q, name, length) == 0
        if closed:
            q += length
            while KIND[<unsigned char>q[0]] & BLANK:
                q += 1
            closed = q[0] == c'>'
        if not closed:
            if seen:
                self.check_text(p, n, seen)
            return self.mismatched(q)
        if seen & (256 | 512):
            text = self.check_text(p, n, seen)
            if n > self.most_text:
                self.context.check_text(len(text))
            value = text if field.decode is None else self.decoded(field, text)
            if value is None:
                self.nothing(field, text)
        else:
            value = self.value(field, p, n, seen)
        self.counted += 1
        self.p = q + 1
        self.leaf = None
        self.loose = 0
        self.store(field, value)
        return True

    cdef bint skip_leaf(self, const char* name, Py_ssize_t length, const char* p, bint empty) except -1:
        """Pass over an unknown leaf whose text is plain. False: it is something else."""
        cdef int seen = 0
        cdef const char* q
        if not empty:
            q = self.text_end(p, &seen)
            if seen or q - p > self.most_text or self.e - q < length + 3 or q[1] != c'/':
                return False
            if memcmp(q + 2, name, length) != 0 or q[length + 2] != c'>':
                return False
            p = q + length + 3
        self.counted += 1
        self.p = p
        return True

    cdef bint leaf_or_empty(self, Field field, const char* name, Py_ssize_t length, const char* q, bint empty) except -1:
        if not empty:
            return self.read_leaf(field, name, length, q)
        self.counted += 1
        self.p = q
        self.leaf = field
        self.store(field, self.value(field, b"", 0, 0))
        self.leaf = None
        return True

    cdef bint strange(self) except -1:
        """Read a start tag that is more than a name. False: it is not complete."""
        cdef const char* p = self.p
        cdef const char* q = self.tag_end(p)
        cdef const char* name_end
        cdef bint empty
        cdef bytes raw
        cdef Tag tag
        cdef Field field, found
        cdef Py_ssize_t length
        if q == NULL:
            return False
        empty = (q - 1)[0] == c'/' and q - p > 1
        raw = PyBytes_FromStringAndSize(p + 1, q - p - 1 - empty)
        tag = self.tag(raw)
        length = 0
        name_end = p + 1
        while not KIND[<unsigned char>name_end[0]] & BLANK and name_end[0] != c'>' and name_end[0] != c'/':
            name_end += 1
        length = name_end - p - 1
        q += 1
        found = tag.fields.get(self.structure)
        if found is not None:
            self.hint = found.index
            if found.kind == IS_LEAF:
                # Its prefixes have been looked at, and nothing inside of it has any.
                return self.leaf_or_empty(found, p + 1, length, q, empty)
            self.counted += 1
            self.declare(tag.declared)
            self.p = q
            self.push(found, p + 1, length, len(tag.declared))
            if empty:
                self.pop()
            return True
        self.declare(tag.declared)
        field = None
        if tag.local is not None:
            field = self.find_name(tag.local)
        if field is None:
            self.p = q
            self.unknown(tag.tag, tag.attrs, p + 1, length, tag.declared, empty)
            return True
        found = self.refine(field, tag.attrs)
        if found is not None and found.kind == IS_LEAF:
            self.undeclare(len(tag.declared))
            self.remember(tag, found)
            return self.leaf_or_empty(found, p + 1, length, q, empty)
        if found is not None and found.kind == IS_DATA:
            self.remember(tag, found)
        self.p = q
        self.begin(found, p + 1, length, tag.attrs, tag.declared, empty)
        return True

    cdef int remember(self, Tag tag, Field found) except -1:
        if len(tag.fields) < 256:
            tag.fields[self.structure] = found
        return 0

    cdef bint finish(self) except -1:
        """The message ends: its end tag, which is not passed, is next. False: it is not complete."""
        cdef const char* start = self.p
        if not self.end_tag(PyBytes_AS_STRING(self.message), PyBytes_GET_SIZE(self.message)):
            return False
        self.p = start
        self.result = self.complete()
        self.finished = True
        return True

    cdef int begin(self, Field found, const char* name, Py_ssize_t length, list attrs, list declared, bint empty) except -1:
        """Begin an element whose prefixes are declared."""
        cdef object keep
        if found is None:
            keep = self.capture
            self.capture = None
            self.counted += 1
            self.begin_opaque(name, length, len(declared), keep, attrs, empty)
            return 0
        self.counted += 1
        self.push(found, name, length, len(declared))
        if empty:
            self.pop()
        return 0

    cdef int unknown(self, str tag, list attrs, const char* name, Py_ssize_t length, list declared, bint empty) except -1:
        """Begin an element that the structure in hand does not have; its prefixes are declared."""
        cdef object keep = None
        self.counted += 1
        if self.structure.keeps:
            keep = self.context.keep_in(self.values, tag)
        self.begin_opaque(name, length, len(declared), keep, attrs, empty)
        return 0

    cdef int begin_opaque(self, const char* name, Py_ssize_t length, Py_ssize_t declared, object keep, list attrs, bint empty) except -1:
        self.opaque = self.open_tags
        self.capture = keep
        self.open_tag(name, length, declared)
        if keep is not None:
            self.kept.append((self.context.head_of(attrs), "", [], []))
        if empty:
            self.end_opaque()
        return 0

    cdef int end_opaque(self) except -1:
        """End the innermost element of what is skipped or kept."""
        cdef object keep = self.capture
        cdef object node = None
        self.shut()
        if keep is not None:
            head, local, pieces, children = self.kept.pop()
            text = "".join(pieces)
            self.context.check_text(len(text))
            node = self.context.node(head, text, children)
            if self.open_tags > self.opaque:
                self.kept[len(self.kept) - 1][3].append((local, node))
        if self.open_tags == self.opaque:
            self.opaque = -1
            self.capture = None
            self.loose = 0
            if type(keep) is Field:
                self.store(<Field>keep, self.context.any_of(node))
            elif keep is not None:
                keep(node)
        return 0

    cdef bint pass_over(self) except -1:
        """Read on in an element that is skipped or kept. False: the next token is not complete."""
        cdef const char* p
        cdef const char* q
        cdef const char* name_end
        cdef int seen
        cdef bint empty
        cdef Tag tag
        while self.opaque >= 0:
            p = self.p
            seen = 0
            q = self.content_end(p, &seen)
            if q >= self.e or q + 1 >= self.e:
                return False
            if q > p:
                if seen or self.capture is not None:
                    text = self.check_text(p, q - p, seen) if seen else self.text(p, q - p, 0)
                    if self.capture is not None:
                        self.kept[len(self.kept) - 1][2].append(text)
                self.loose += q - p
                if self.loose > self.most_text:
                    self.context.check_text(self.loose)
                self.p = p = q
            if p[1] == c'/':
                if not self.close_tag():
                    return False
                self.loose = 0
                self.end_opaque()
                continue
            q = self.tag_end(p)
            if q == NULL:
                return False
            empty = (q - 1)[0] == c'/' and q - p > 1
            tag = self.tag(PyBytes_FromStringAndSize(p + 1, q - p - 1 - empty))
            name_end = p + 1
            while not KIND[<unsigned char>name_end[0]] & BLANK and name_end[0] != c'>' and name_end[0] != c'/':
                name_end += 1
            if self.open_tags - self.opaque > self.context.limits.depth - len(self.fields) - 3:
                raise self.context.too_deep()
            self.counted += 1
            self.loose = 0
            if self.counted > self.most_elements:
                self.context.check_elements(self.counted)
            self.declare(tag.declared)
            self.p = q + 1
            self.open_tag(p + 1, name_end - p - 1, len(tag.declared))
            if self.capture is not None:
                del self.kept[len(self.kept) - 1][2][:]  # what stands before a child is no text of its own
                self.kept.append((self.context.head_of(tag.attrs), self.context.name_of(tag.tag), [], []))
            if empty:
                self.end_opaque()
        return True

    cdef bint markup(self) except -1:
        """Pass a comment or a section between children. False: it is not complete."""
        cdef const char* q = self.markup_end(self.p)
        if q == NULL:
            return False
        read_text(self.root, PyBytes_FromStringAndSize(self.p, q - self.p))
        self.p = q
        return True
