"""Tags, resolved by the prefixes in force. Expat reads those with attributes or prefixes that are new.

    start tag ::= '<' NAME '/'? '>'                          a name of the binding
                | '<' (prefix ':')? NAME attributes '/'? '>'     remembered by its bytes and the
                                                             prefixes in force
"""


cdef class Tag:
    """A tag with attributes or a prefix, resolved."""

    cdef str tag            # namespace, space, local name; or the local name
    cdef list attrs
    cdef list declared      # (prefix, namespace) pairs
    cdef object local       # local name if it may be a child's, else None
    cdef dict fields        # Structure to the field by which to read it; None: unknown to it


cdef class Tags(Values):
    """Knows the prefixes in force, and by which field to read an element."""

    cdef object resolver
    cdef str namespace
    cdef list prefixes              # declared by open tags, the innermost last
    # Where tags mean the same
    cdef dict scopes, tags
    cdef dict made                  # item made for attributes to its field
    cdef bint ours                  # a name without a prefix is of the binding
    cdef str default                # namespace of names without a prefix
    cdef Field starting             # for the path of an error
    cdef object capture             # the receiver of an element that is kept; None: skipped

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
                self.resolver.undeclare(self.prefixes.pop())
            self.enter_scope()
        return 0

    cdef int declare(self, list declared) except -1:
        if declared:
            for prefix, uri in declared:
                self.resolver.declare(prefix, uri)
                self.prefixes.append(prefix)
            self.enter_scope()
        return 0

    cdef int enter_scope(self) except -1:
        """Take over the bindings of prefixes now in force."""
        cdef tuple scope = self.resolver.scope()
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

    cdef Tag tag(self, bytes raw):
        """Return a start tag, from the cache or read by expat."""
        cdef Tag tag = self.tags.get(raw)
        if tag is not None:
            return tag
        tag = Tag()
        tag.tag, tag.attrs, tag.declared = (known_tag if len(raw) <= 128 else read_tag)(self.root, raw)
        self.context.check_attributes(tag.attrs)
        namespace, _, local = tag.tag.rpartition(" ")
        tag.local = local.encode() if namespace in ("", self.namespace) else None
        tag.fields = {}
        if len(self.tags) >= 4096:
            self.tags.clear()
        if len(raw) <= 512:
            self.tags[raw] = tag
        return tag

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

    cdef Field find_name(self, bytes local):
        return self.find(PyBytes_AS_STRING(local), PyBytes_GET_SIZE(local))

    cdef Field refine(self, Field field, list attrs):
        """Return the field by which to read an element; None if it is absent, or kept."""
        cdef object item
        cdef Field made
        self.starting = field
        item = self.resolver.refine(field.item, attrs)
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
