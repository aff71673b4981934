"""The structures that are open: each is a list of values until its end tag makes it an object."""


cdef class Frames(Tags):
    """The structure in hand, and those around it."""

    cdef list values
    cdef list structures, frames, fields
    cdef Py_ssize_t deepest

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
            structure = field.structure = structure_of(field.item.shape)
        self.open_tag(name, length, declared)
        self.structures.append(self.structure)
        self.frames.append(self.values)
        self.fields.append(field)
        if len(self.fields) > self.deepest:
            raise self.context.too_deep()
        self.structure = structure
        self.values = [None] * structure.slots
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
                self.context.absent(structure.shape.items[index], structure.shape, "required element missing", self.path)
        if structure.plain:
            return PyObject_Vectorcall(structure.make, PySequence_Fast_ITEMS(values), structure.size, NULL)
        if structure.a_list and values[0]:
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
