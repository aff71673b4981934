# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, embedsignature=False, auto_pickle=False
"""The content of one message, read by C: what is common, and nothing else.

What stands around the message (declaration, envelope, header) and its end are expat's business,
as are tags with attributes or prefixes the first time that they are seen, texts with references,
comments, sections: each such piece is handed to an expat parser of its own, so that it is well
formed or not, and means, what the pure decoder says. Here are read: tags that are a name, texts
that are what they look like, numbers, truth values, times in UTC.

Memory: the bytes in hand are always a bytes object, whose data ends with a NUL that is not part of
them. No loop passes a byte that it does not know, and none knows NUL; a look ahead is preceded by
a comparison with the end. A token that is not complete is left for the next call. Nothing is
allocated but Python objects and the arrays of this file, which grow by doubling.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.datetime cimport datetime_new, import_datetime
from cpython.list cimport PyList_GET_ITEM, PyList_SetItem
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.string cimport memchr, memcmp, memcpy

import datetime as _datetime

from vimlib.soap._leaf import DECODE, RANGES, Misfit, decode_enum
from vimlib.soap._native import Malformed, known_tag, read_open, read_tag, read_text, root_tag
from vimlib.soap._refine import CAPTURE, NIL, ProxyMaker
from vimlib.soap._tables import ANY, DATA, LAZY, LEAF, REF
from vimlib.soap._typed import Unknown

import_datetime()

cdef extern from "Python.h":
    object PyObject_Vectorcall(object callable, PyObject** args, size_t nargs, PyObject* kwnames)
    object PyUnicode_DecodeUTF8(const char* s, Py_ssize_t size, const char* errors)
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void* PyUnicode_DATA(object o)
    Py_ssize_t PyUnicode_GET_LENGTH(object o)
    PyObject** PySequence_Fast_ITEMS(object o)

REVISION = 1
"""Changes with the interface to the Python modules, so that a library left from another build is told."""

cdef object UTC = _datetime.timezone.utc

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

# How a leaf is read
cdef enum:
    AS_TEXT, AS_BOOL, AS_INT, AS_TIME, AS_ENUM, AS_PROXY, AS_OTHER

# What an element of a field is
cdef enum:
    IS_LEAF, IS_DATA, IS_REF, IS_ANY, IS_LAZY

cdef dict KINDS = {LEAF: IS_LEAF, DATA: IS_DATA, REF: IS_REF, ANY: IS_ANY, LAZY: IS_LAZY}


cdef class Field:
    """An item of the tables, as the loop wants it."""

    cdef object item
    cdef bytes name
    cdef Py_ssize_t index
    cdef bint many
    cdef int kind
    cdef int how
    cdef long long low, high
    cdef object decode
    cdef object proxy_class, proxy_kind, proxy_guid, proxy_invoker
    cdef object last_id, last_proxy
    cdef Structure structure


cdef class Structure:
    """A shape of the tables, as the loop wants it."""

    cdef object shape
    cdef object make
    cdef bint plain         # `make` takes the values as they are, and nothing but time
    cdef bint a_list        # it is its only item's list
    cdef Py_ssize_t size
    cdef list fields
    cdef const char** names
    cdef Py_ssize_t* lengths
    cdef Py_ssize_t* arrays
    cdef Py_ssize_t n_arrays
    cdef Py_ssize_t* needed
    cdef Py_ssize_t n_needed

    def __dealloc__(self):
        PyMem_Free(self.names)
        PyMem_Free(self.lengths)
        PyMem_Free(self.arrays)
        PyMem_Free(self.needed)


cdef Field field_of(object item):
    """Return the field of an item of the tables, made on first use and kept with it."""
    cdef Field field = item.native
    if field is None:
        field = item.native = new_field(item)
    return field


cdef Field new_field(object item):
    cdef Field field = Field()
    field.item = item
    field.name = item.name.encode()
    field.index = item.index
    field.many = item.array
    field.structure = None
    settle(field)
    return field


cdef int settle(Field field) except -1:
    """Take over what the tables say that the item holds."""
    cdef object item = field.item
    cdef object decode = item.decode
    field.kind = KINDS[item.kind]
    field.decode = decode
    field.how = AS_OTHER
    if field.kind != IS_LEAF:
        return 0
    if decode is None:
        field.how = AS_TEXT
    elif decode is decode_enum:
        field.how = AS_ENUM
    elif decode is DECODE["boolean"]:
        field.how = AS_BOOL
    elif decode is DECODE["dateTime"]:
        field.how = AS_TIME
    elif type(decode) is ProxyMaker:
        if decode.kind:
            field.how = AS_PROXY
            field.proxy_class = decode.cls
            field.proxy_kind = decode.kind
            field.proxy_guid = decode.guid
            field.proxy_invoker = decode.invoker
    else:
        for name in ("byte", "short", "int", "long"):
            if decode is DECODE[name]:
                field.how = AS_INT
                field.low, field.high = RANGES[name]
    return 0


cdef Structure structure_of(object shape):
    """Return the structure of a shape, made on first use."""
    cdef Structure found = shape.native
    cdef Py_ssize_t at
    cdef Field field
    if found is not None:
        return found
    found = Structure()
    found.shape = shape
    found.make = shape.make
    found.plain = shape.make is shape.cls and not shape.fault
    found.a_list = shape.cls is None and shape.name.startswith("ArrayOf")
    found.fields = [field_of(item) for item in shape.items]
    found.size = len(found.fields)
    found.names = <const char**>PyMem_Malloc((found.size + 1) * sizeof(char*))
    found.lengths = <Py_ssize_t*>PyMem_Malloc((found.size + 1) * sizeof(Py_ssize_t))
    found.arrays = <Py_ssize_t*>PyMem_Malloc((found.size + 1) * sizeof(Py_ssize_t))
    found.needed = <Py_ssize_t*>PyMem_Malloc((found.size + 1) * sizeof(Py_ssize_t))
    if not found.names or not found.lengths or not found.arrays or not found.needed:
        raise MemoryError
    for at in range(found.size):
        field = <Field>found.fields[at]
        found.names[at] = PyBytes_AS_STRING(field.name)
        found.lengths[at] = PyBytes_GET_SIZE(field.name)
    found.n_arrays = len(shape.arrays)
    for at in range(found.n_arrays):
        found.arrays[at] = shape.arrays[at]
    found.n_needed = len(shape.needed)
    for at in range(found.n_needed):
        found.needed[at] = shape.needed[at]
    if shape.extras is None:  # else it serves one element
        shape.native = found
    return found


cdef class Tag:
    """What a tag with attributes or a prefix means where it stands."""

    cdef str tag            # namespace, space, local name; or the local name
    cdef list attrs
    cdef list declared      # (prefix, namespace) pairs
    cdef object local       # local name if it may be a child's, else None
    cdef dict fields        # Structure to the field by which to read it; None: unknown to it


cdef class Reader:
    """Reads the content of one message; the machine is the pure decoder's, for all that is rare."""

    cdef object machine, refiner, tables
    cdef object done
    cdef bytes message              # its tag as written
    cdef str namespace
    cdef bint finished
    # The frame in hand, and those around it
    cdef Structure structure
    cdef list values
    cdef Py_ssize_t hint            # where in the structure the next child is looked for first
    cdef list structures, frames, fields
    cdef Py_ssize_t deepest
    # Open tags below the message's: their names one behind the other
    cdef char* names
    cdef Py_ssize_t names_size, names_room
    cdef Py_ssize_t* starts         # of each name
    cdef Py_ssize_t* declared       # how many prefixes each has declared
    cdef Py_ssize_t* hints
    cdef Py_ssize_t open_tags, open_room
    # An element that is skipped or kept
    cdef Py_ssize_t opaque          # open tags outside of it; -1: none
    cdef object capture             # the receiver of what is kept; None: skipped
    cdef list kept                  # [type, local name, pieces of text, children] for each open one
    cdef list prefixes              # declared by open tags, the innermost last
    # Where tags mean the same
    cdef dict scopes, tags
    cdef dict made                  # item made for attributes to its field
    cdef bint ours                  # a name without a prefix is of the binding
    cdef bytes root                 # a start tag that declares them
    cdef str default                # namespace of names without a prefix
    # For the path of an error
    cdef Field leaf, starting
    cdef Py_ssize_t counted, loose
    cdef Py_ssize_t most_text, most_elements
    # The bytes in hand
    cdef bytes rest
    cdef const char* p
    cdef const char* e
    cdef list texts                 # the last short text of each hash; None while there were few
    cdef Py_ssize_t short_texts

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

    def __init__(self, machine, shape, done, place, bytes message):
        self.machine = machine
        self.refiner = machine.refiner
        self.tables = machine.tables
        self.namespace = machine.tables.namespace
        self.done = done
        self.message = message
        self.structure = structure_of(shape)
        self.values = [None] * self.structure.size
        self.structures = [None]
        self.frames = [[None]]
        self.fields = [field_of(place)]
        self.deepest = machine.limits.depth - 2
        self.most_text = machine.limits.text
        self.most_elements = machine.limits.elements
        self.counted = machine.counted()
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

    # What the pure decoder asks of a machine

    def path(self):
        """Return where in the message the element in hand is."""
        cdef Py_ssize_t at
        cdef Field field
        text = ""
        for at in range(1, len(self.fields)):
            field = self.fields[at]
            text = self.place(text, field, self.frames[at])
        field = self.leaf if self.leaf is not None else self.starting
        if field is not None:
            text = self.place(text, field, self.values)
        return text

    cdef str place(self, str text, Field field, list values):
        if field.item.attribute:
            text += f".{field.item.name}" if text else field.item.name
        if field.many:
            text += f"[{len(values[field.index] or ())}]"
        return text

    def elements(self):
        """Return how many elements have begun."""
        return self.counted

    def frame_depth(self):
        """Return how many structures are open, the message's included."""
        return len(self.fields)

    def check_rest(self):
        """Raise for what is wrong already in the bytes that wait for the rest of their token."""
        read_open(self.root, self.rest)

    # Reading

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
            held = held[self.p - start:]
            self.p = self.e = NULL
            self.rest = held
        if self.counted > self.most_elements:
            self.machine.check_elements()
        if self.finished:
            self.rest = b""
            return held
        if len(held) > self.most_text + 65536:
            self.machine.check_text(self.most_text + 1)
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
                    if self.structure.shape.extras is not None or not self.skip_leaf(p + 1, length, q, empty):
                        self.p = q
                        self.unknown("", self.simple_tag(p + 1, length), [], p + 1, length, [], empty)
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
                    self.begin(found, p + 1, length, "", [], empty)
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

    # Texts

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

    cdef bint between(self) except -1:
        """Pass the text between the children of a structure; it means nothing, and must be one."""
        cdef const char* p = self.p
        cdef const char* q
        cdef int seen = 0
        while KIND[<unsigned char>p[0]] & BLANK:
            p += 1
        self.loose += p - self.p
        if self.loose > self.most_text:
            self.machine.check_text(self.loose)
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

    cdef bint read_leaf(self, Field field, const char* name, Py_ssize_t length, const char* p) except -1:
        """Read a leaf from behind its start tag. False: it is not complete."""
        cdef int seen = 0
        cdef const char* q
        cdef Py_ssize_t n
        cdef object value
        self.leaf = field
        q = self.content_end(p, &seen)
        if q >= self.e or q + 1 >= self.e:
            return False
        n = q - p
        if q[1] != c'/':
            if seen:
                self.check_text(p, n, seen)
            p = self.tag_end(q)
            if p == NULL:
                return False
            self.tag(PyBytes_FromStringAndSize(q + 1, p - q - 1 - ((p - 1)[0] == c'/' and p - q > 1)))
            raise Misfit("unexpected child element in a value")
        if self.e - q < length + 3:
            return False
        if memcmp(q + 2, name, length) != 0:
            if seen:
                self.check_text(p, n, seen)
            raise Malformed("mismatched tag")
        q += length + 2
        while KIND[<unsigned char>q[0]] & BLANK:
            q += 1
        if q[0] != c'>':
            if q >= self.e:
                return False
            if seen:
                self.check_text(p, n, seen)
            raise Malformed("mismatched tag")
        if seen & (256 | 512):
            text = self.check_text(p, n, seen)
            if n > self.most_text:
                self.machine.check_text(len(text))
            value = text if field.decode is None else field.decode(text)
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

    cdef object value(self, Field field, const char* p, Py_ssize_t n, int seen):
        """Return what a plain text stands for."""
        cdef object text, value
        cdef int how = field.how
        cdef long long number = 0
        cdef Py_ssize_t at = 0
        if not seen and n:
            if how == AS_INT and n <= 18:
                if p[0] == c'-' and n > 1:
                    at = 1
                while at < n and c'0' <= p[at] <= c'9':
                    number = number * 10 + (p[at] - c'0')
                    at += 1
                if at == n and p[n - 1] != c'-':
                    if p[0] == c'-':
                        number = -number
                    if field.low <= number <= field.high:
                        return number
            elif how == AS_BOOL:
                if n == 4 and memcmp(p, b"true", 4) == 0:
                    return True
                if n == 5 and memcmp(p, b"false", 5) == 0:
                    return False
            elif how == AS_TIME:
                value = self.moment(p, n)
                if value is not None:
                    return value
        if how == AS_PROXY and n:
            return self.proxy(field, p, n, seen)
        text = self.text(p, n, seen)
        if n > self.most_text:
            self.machine.check_text(len(text))
        if how == AS_TEXT:
            return text
        value = field.decode(text)
        if value is None:
            self.nothing(field, text)
        return value

    cdef object text(self, const char* p, Py_ssize_t n, int seen):
        """Return a text as str; a short one that was met before is the same object."""
        cdef object text
        cdef unsigned int slot
        if seen or n == 0:
            if n:
                self.check_characters(p, n)
            return PyUnicode_DecodeUTF8(p, n, NULL)
        if self.texts is None and n <= 40:
            # A table costs a reply of one value more than all the rest.
            self.short_texts += 1
            if self.short_texts > 32:
                self.texts = [None] * 1024
        if n > 40 or self.texts is None:
            text = PyUnicode_New(n, 127)
            memcpy(PyUnicode_DATA(text), p, n)
            return text
        slot = n * 131
        slot += <unsigned char>p[0] * 7 + <unsigned char>p[n - 1] * 31 + <unsigned char>p[n >> 1] * 17
        if n > 4:
            slot += <unsigned char>p[n - 2] * 61 + <unsigned char>p[n - 3] * 13 + <unsigned char>p[n >> 2] * 37
        slot &= 1023
        text = <object>PyList_GET_ITEM(self.texts, slot)
        if text is not None and PyUnicode_GET_LENGTH(text) == n and memcmp(PyUnicode_DATA(text), p, n) == 0:
            return text
        text = PyUnicode_New(n, 127)
        memcpy(PyUnicode_DATA(text), p, n)
        Py_INCREF(text)
        PyList_SetItem(self.texts, slot, text)
        return text

    cdef int nothing(self, Field field, object text) except -1:
        """Note a leaf that stands for no value."""
        if text == "" and field.item.type != "ref":
            self.leaf = None
            self.machine.absent(field.item, self.structure.shape, "empty enumeration value")
        return 0

    cdef object moment(self, const char* p, Py_ssize_t n):
        """Return a time in UTC, None if it is written in any other way."""
        cdef int part[6]
        cdef int at, micro = 0, digits = 0
        cdef Py_ssize_t i
        if n < 20 or n > 30 or p[n - 1] != c'Z' or p[4] != c'-' or p[7] != c'-' or p[10] != c'T':
            return None
        if p[13] != c':' or p[16] != c':':
            return None
        for i in range(19):
            if i != 4 and i != 7 and i != 10 and i != 13 and i != 16 and not c'0' <= p[i] <= c'9':
                return None
        part[0] = (p[0] - 48) * 1000 + (p[1] - 48) * 100 + (p[2] - 48) * 10 + p[3] - 48
        for at in range(1, 6):
            i = 2 + at * 3
            part[at] = (p[i] - 48) * 10 + p[i + 1] - 48
        if n > 20:
            if p[19] != c'.' or n == 21:
                return None
            for i in range(20, n - 1):
                if not c'0' <= p[i] <= c'9':
                    return None
                if digits < 6:
                    micro = micro * 10 + p[i] - 48
                    digits += 1
            while digits < 6:
                micro *= 10
                digits += 1
        elif p[19] != c'Z':
            return None
        if not (part[0] and 1 <= part[1] <= 12 and 1 <= part[2] <= 28 and part[3] < 24 and part[4] < 60 and part[5] < 60):
            return None  # the end of a month among them
        return datetime_new(part[0], part[1], part[2], part[3], part[4], part[5], micro, UTC)

    cdef object proxy(self, Field field, const char* p, Py_ssize_t n, int seen):
        """Return a proxy; the last one again if it is the same, as a host is for all its machines."""
        cdef object cls = field.proxy_class
        cdef object text = self.text(p, n, seen)
        cdef object proxy
        if text is field.last_id or (field.last_id is not None and <str>text == <str>field.last_id):
            return field.last_proxy
        if n > self.most_text:
            self.machine.check_text(len(text))
        proxy = cls.__new__(cls)
        proxy._id = text
        proxy._kind = field.proxy_kind
        proxy._guid = field.proxy_guid
        proxy._invoker = field.proxy_invoker
        field.last_id, field.last_proxy = text, proxy
        return proxy

    # Structures

    cdef Field find(self, const char* name, Py_ssize_t length):
        """Return the field of that name in the structure in hand, looking from the last one on."""
        cdef Structure structure = self.structure
        cdef Py_ssize_t size = structure.size
        cdef Py_ssize_t at = self.hint
        cdef Py_ssize_t tries
        cdef Field field
        for tries in range(size):
            if at >= size:
                at = 0
            if (
                structure.lengths[at] == length
                and structure.names[at][0] == name[0]
                and memcmp(structure.names[at], name, length) == 0
            ):
                field = <Field><object>PyList_GET_ITEM(structure.fields, at)
                self.hint = at if field.many else at + 1
                return field
            at += 1
        return None

    cdef int store(self, Field field, object value) except -1:
        cdef object held
        if value is None:
            return 0
        if field.many:
            held = self.values[field.index]
            if held is None:
                self.values[field.index] = [value]
            else:
                (<list>held).append(value)
        else:
            Py_INCREF(value)
            PyList_SetItem(self.values, field.index, value)
        return 0

    cdef int push(self, Field field, const char* name, Py_ssize_t length, Py_ssize_t declared) except -1:
        """Begin a structure for a field."""
        cdef Structure structure = field.structure
        if structure is None:
            structure = structure_of(field.item.shape)
            if field.item.shape.extras is None:
                field.structure = structure
        self.open_tag(name, length, declared)
        self.structures.append(self.structure)
        self.frames.append(self.values)
        self.fields.append(field)
        if len(self.fields) > self.deepest:
            raise self.machine.too_deep()
        self.structure = structure
        self.values = [None] * structure.size
        self.hint = 0
        return 0

    cdef object complete(self):
        """Return the object of the structure in hand."""
        cdef Structure structure = self.structure
        cdef list values = self.values
        cdef Py_ssize_t at, index
        for at in range(structure.n_arrays):
            index = structure.arrays[at]
            if values[index] is None:
                values[index] = []
        for at in range(structure.n_needed):
            index = structure.needed[at]
            if values[index] is None:
                if self.is_no_result():
                    return None
                self.machine.absent(structure.shape.items[index], structure.shape, "required element missing")
        if structure.plain:
            return PyObject_Vectorcall(structure.make, PySequence_Fast_ITEMS(values), structure.size, NULL)
        if structure.a_list:
            return values[0]
        return structure.make(*values)

    cdef bint is_no_result(self):
        cdef Field field = self.fields[len(self.fields) - 1]
        if not field.item.optional_result:
            return False
        for value in self.values:
            if value is not None and value != []:
                return False
        return True

    cdef int pop(self) except -1:
        """End the structure in hand and put its object where it belongs."""
        cdef object value = self.complete()
        cdef Field field = self.fields.pop()
        self.structure = self.structures.pop()
        self.values = self.frames.pop()
        self.shut()
        if value is None:
            self.values[field.index] = None  # "no result", also where there was one
        else:
            self.store(field, value)
        return 0

    cdef bint finish(self) except -1:
        """The message ends: its end tag, which is not passed, is next. False: it is not complete."""
        cdef const char* start = self.p
        cdef object value
        if not self.end_tag(PyBytes_AS_STRING(self.message), PyBytes_GET_SIZE(self.message)):
            return False
        self.p = start
        value = self.complete()
        self.finished = True
        self.done(value)
        return True

    # Tags

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
            raise Malformed("mismatched tag")
        q += length
        while KIND[<unsigned char>q[0]] & BLANK:
            q += 1
        if q[0] != c'>':
            if q >= self.e:
                return False
            raise Malformed("mismatched tag")
        self.p = q + 1
        return True

    cdef int shut(self) except -1:
        """Forget the innermost open tag and what it declared."""
        cdef Py_ssize_t declared
        self.open_tags -= 1
        self.names_size = self.starts[self.open_tags]
        self.hint = self.hints[self.open_tags]
        declared = self.declared[self.open_tags]
        self.undeclare(declared)
        return 0

    cdef int undeclare(self, Py_ssize_t declared) except -1:
        cdef Py_ssize_t at
        if declared:
            for at in range(declared):
                self.refiner.undeclare(self.prefixes.pop())
            self.enter_scope()
        return 0

    cdef int enter_scope(self) except -1:
        """Take over the bindings of prefixes now in force."""
        cdef tuple scope = self.refiner.scope()
        cdef object known = self.scopes.get(scope)
        if known is None:
            if len(self.scopes) > 64:
                self.scopes.clear()
                self.made.clear()
            default = dict(scope).get("", "")
            known = self.scopes[scope] = (root_tag(scope), {}, default)
        self.root, self.tags, self.default = known
        # No namespace counts as the binding's, as in the pure decoder.
        self.ours = self.default == "" or self.default == self.namespace
        return 0

    cdef str simple_tag(self, const char* name, Py_ssize_t length):
        """Return a name without a prefix as the tokenizer would report it."""
        local = name[:length].decode("ascii")
        return f"{self.default} {local}" if self.default else local

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
            self.unknown(self.type_of(tag.attrs), tag.tag, tag.attrs, p + 1, length, tag.declared, empty)
            return True
        found = self.refine(field, tag.attrs)
        if found is not None and found.kind == IS_LEAF:
            self.undeclare(len(tag.declared))
            self.remember(tag, found)
            return self.leaf_or_empty(found, p + 1, length, q, empty)
        if found is not None and found.kind == IS_DATA and found.item.shape.extras is None:
            self.remember(tag, found)
        self.p = q
        self.begin(found, p + 1, length, self.type_of(tag.attrs), tag.declared, empty)
        return True

    cdef int remember(self, Tag tag, Field found) except -1:
        if len(tag.fields) < 256:
            tag.fields[self.structure] = found
        return 0

    cdef bint leaf_or_empty(self, Field field, const char* name, Py_ssize_t length, const char* q, bint empty) except -1:
        if not empty:
            return self.read_leaf(field, name, length, q)
        self.counted += 1
        self.p = q
        self.leaf = field
        self.store(field, self.value(field, b"", 0, 0))
        self.leaf = None
        return True

    cdef Tag tag(self, bytes raw):
        """Return what a start tag says, asking expat unless it is known here."""
        cdef Tag tag = self.tags.get(raw)
        if tag is not None:
            return tag
        tag = Tag()
        tag.tag, tag.attrs, tag.declared = (known_tag if len(raw) <= 128 else read_tag)(self.root, raw)
        self.machine.check_attributes(tag.attrs)
        namespace, _, local = tag.tag.rpartition(" ")
        tag.local = local.encode() if namespace in ("", self.namespace) else None
        tag.fields = {}
        if len(self.tags) >= 4096:
            self.tags.clear()
        if len(raw) <= 512:
            self.tags[raw] = tag
        return tag

    cdef Field find_name(self, bytes local):
        return self.find(PyBytes_AS_STRING(local), PyBytes_GET_SIZE(local))

    cdef int declare(self, list declared) except -1:
        if declared:
            for prefix, uri in declared:
                self.refiner.declare(prefix, uri)
                self.prefixes.append(prefix)
            self.enter_scope()
        return 0

    cdef str type_of(self, list attrs):
        return self.machine.type_of(attrs)

    cdef Field refine(self, Field field, list attrs):
        """Return the field by which to read an element; None if it is absent, or kept."""
        cdef object item
        cdef Field made
        self.starting = field
        item = self.refiner.refine(field.item, attrs)
        self.starting = None
        if item is NIL:
            self.capture = None
            return None
        if item is CAPTURE:
            self.capture = field
            return None
        if item is field.item:
            settle(field)
            return field
        # Items made for attributes live as long as their decoder; kept with it, not with them,
        # their fields are in no circle.
        made = self.made.get(item)
        if made is None:
            if len(self.made) >= 4096:  # kinds may come from the wire, one for each element
                self.made.clear()
            made = self.made[item] = new_field(item)
        return made

    cdef int begin(self, Field found, const char* name, Py_ssize_t length, str type_, list declared, bint empty) except -1:
        """Begin an element whose prefixes are declared."""
        cdef object keep
        if found is None:
            keep = self.capture
            self.capture = None
            self.counted += 1
            self.begin_opaque(name, length, len(declared), keep, type_, empty)
            return 0
        self.counted += 1
        self.push(found, name, length, len(declared))
        if empty:
            self.pop()
        return 0

    # Elements that nothing is known about

    cdef int unknown(self, str type_, str tag, list attrs, const char* name, Py_ssize_t length, list declared, bint empty) except -1:
        """Begin an element that the structure in hand does not have; its prefixes are declared."""
        cdef object extras = self.structure.shape.extras
        cdef object keep = None
        self.counted += 1
        if extras is not None:
            keep = (extras, tag.rpartition(" ")[2])
        self.begin_opaque(name, length, len(declared), keep, type_, empty)
        return 0

    cdef int begin_opaque(self, const char* name, Py_ssize_t length, Py_ssize_t declared, object keep, str type_, bint empty) except -1:
        self.opaque = self.open_tags
        self.capture = keep
        self.open_tag(name, length, declared)
        if keep is not None:
            self.kept.append((type_, "", [], []))
        if empty:
            self.end_opaque()
        return 0

    cdef int end_opaque(self) except -1:
        """End the innermost element of what is skipped or kept."""
        cdef object keep = self.capture
        cdef object node = None
        self.shut()
        if keep is not None:
            type_, local, pieces, children = self.kept.pop()
            text = "".join(pieces)
            self.machine.check_text(len(text))
            node = Unknown(type_, "", tuple(children)) if children else text
            if self.open_tags > self.opaque:
                self.kept[len(self.kept) - 1][3].append((local, node))
        if self.open_tags == self.opaque:
            self.opaque = -1
            self.capture = None
            self.loose = 0
            if type(keep) is Field:
                self.store(<Field>keep, node)
            elif keep is not None:
                keep[0].setdefault(keep[1], node)
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
                    self.machine.check_text(self.loose)
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
            if self.open_tags - self.opaque > self.machine.limits.depth - len(self.fields) - 3:
                raise self.machine.too_deep()
            self.counted += 1
            self.loose = 0
            if self.counted > self.most_elements:
                self.machine.check_elements()
            self.declare(tag.declared)
            self.p = q + 1
            self.open_tag(p + 1, name_end - p - 1, len(tag.declared))
            if self.capture is not None:
                del self.kept[len(self.kept) - 1][2][:]  # what stands before a child is no text of its own
                self.kept.append((self.type_of(tag.attrs), tag.tag.rpartition(" ")[2], [], []))
            if empty:
                self.end_opaque()
        return True

    # Comments, sections and what is forbidden

    cdef const char* markup_end(self, const char* p) except? NULL:
        """Return where a comment, a section or an instruction ends; NULL: it is not complete."""
        cdef Py_ssize_t left = self.e - p
        if p[1] == c'?':
            return self.after(p + 2, b"?>", 2)
        if left >= 4 and memcmp(p, b"<!--", 4) == 0:
            return self.after(p + 4, b"-->", 3)
        if left >= 9 and memcmp(p, b"<![CDATA[", 9) == 0:
            return self.after(p + 9, b"]]>", 3)
        if left < 9 and (memcmp(p, b"<![CDATA[", left) == 0 or memcmp(p, b"<!--", min(left, 4)) == 0):
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

    cdef bint markup(self) except -1:
        """Pass a comment or a section between children. False: it is not complete."""
        cdef const char* q = self.markup_end(self.p)
        if q == NULL:
            return False
        read_text(self.root, PyBytes_FromStringAndSize(self.p, q - self.p))
        self.p = q
        return True
