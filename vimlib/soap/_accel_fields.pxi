"""The compiled form of a binding's tables: a `Structure` for a type, a `Field` for an element."""

# How a leaf is read
cdef enum:
    AS_TEXT, AS_BOOL, AS_INT, AS_TIME, AS_PROXY, AS_OTHER

# What an element of a field is
cdef enum:
    IS_LEAF, IS_DATA, IS_REF, IS_ANY, IS_LAZY

cdef dict KINDS = {LEAF: IS_LEAF, DATA: IS_DATA, REF: IS_REF, ANY: IS_ANY, LAZY: IS_LAZY}


cdef class Field:
    """An item of the tables, in compiled form."""

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
    """A shape of the tables, in compiled form."""

    cdef object shape
    cdef object make
    cdef bint plain         # `make` takes the values as they are, and nothing but time
    cdef bint a_list        # it is its only item's list, unless that is empty
    cdef bint keeps         # one more value collects the children that it does not have
    cdef Py_ssize_t size    # of its fields
    cdef Py_ssize_t slots   # values of a frame
    cdef list fields
    cdef const char** names
    cdef Py_ssize_t* lengths
    cdef Py_ssize_t* arrays
    cdef Py_ssize_t n_arrays
    cdef Py_ssize_t* needed
    cdef Py_ssize_t n_needed
    cdef Structure owner    # of fields and arrays, for an unknown subtype
    cdef bint borrowed

    def __dealloc__(self):
        if not self.borrowed:
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
    """Take over the item's kind and decoder from the tables."""
    cdef object item = field.item
    cdef object decode = item.decode
    field.kind = KINDS[item.kind]
    field.decode = decode
    field.how = AS_OTHER
    if field.kind != IS_LEAF:
        return 0
    if decode is None:
        field.how = AS_TEXT
    elif decode is DECODE["boolean"]:
        field.how = AS_BOOL
    elif decode is DECODE["dateTime"]:
        field.how = AS_TIME
    elif decode is DECODE_ANY["long"]:
        # One within the range of xsd:int is a value with a type, which is made elsewhere.
        field.how = AS_INT
        field.low, field.high = RANGES["int"][1] + 1, RANGES["long"][1]
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
    """Return the structure of a shape: made on first use, and each time for an unknown type.

    A host may name any number of those; they are in no circle with their structures.
    """
    cdef Structure found = shape.native
    cdef Py_ssize_t at
    cdef Field field
    if found is not None:
        return found
    found = Structure()
    found.shape = shape
    found.make = shape.make
    found.plain = shape.make is shape.cls and not shape.fault
    found.a_list = shape.obvious
    found.keeps = shape.known is not None
    found.slots = len(shape.blank)
    if found.keeps:
        borrow(found, structure_of(shape.known))
        return found
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
    shape.native = found
    return found


cdef int borrow(Structure found, Structure owner) except -1:
    """Let a structure use the fields of another, which it keeps alive."""
    found.borrowed = True
    found.owner = owner
    found.fields, found.size = owner.fields, owner.size
    found.names, found.lengths = owner.names, owner.lengths
    found.arrays, found.n_arrays = owner.arrays, owner.n_arrays
    found.needed, found.n_needed = owner.needed, owner.n_needed
    return 0
