"""Values of leaves. Other notations go to the functions of the pure decoder.

    boolean  ::= 'true' | 'false'
    integer  ::= '-'? DIGIT{1,18}                within the range of its type
    dateTime ::= YYYY-MM-DD 'T' HH:MM:SS ('.' DIGIT{1,9})? 'Z'      days 29 to 31: not here
    string, enumeration, reference ::= text
"""


cdef class Values(Scanner):
    """Turns texts into values."""

    cdef object context
    cdef Structure structure        # the frame in hand
    cdef Field leaf                 # the open leaf, for the path of an error
    cdef Py_ssize_t most_text
    cdef list texts                 # the last short text of each hash; None while there were few
    cdef Py_ssize_t short_texts

    cdef object value(self, Field field, const char* p, Py_ssize_t n, int seen):
        """Return the value of a plain text."""
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
            self.context.check_text(len(text))
        if how == AS_TEXT:
            return text
        value = self.decoded(field, text)
        if value is None:
            self.nothing(field, text)
        return value

    cdef object decoded(self, Field field, object text):
        """Return the value of a text by the function of the pure decoder."""
        try:
            return field.decode(text)
        except InvalidValueError as reason:
            return self.context.unfit(reason, field.item, self.structure.shape)

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
        """Note a leaf without a value."""
        if text == "" and field.item.type != "ref":
            self.leaf = None
            self.context.absent(field.item, self.structure.shape, "empty enumeration value", self.path)
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
            self.context.check_text(len(text))
        proxy = cls.__new__(cls)
        proxy._id = text
        proxy._kind = field.proxy_kind
        proxy._guid = field.proxy_guid
        proxy._invoker = field.proxy_invoker
        field.last_id, field.last_proxy = text, proxy
        return proxy
