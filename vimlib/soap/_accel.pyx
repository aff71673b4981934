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
from vimlib.soap._native import (
    Malformed,
    known_tag,
    read_error,
    read_tag,
    read_text,
    root_tag,
)
from vimlib.soap._resolve import CAPTURE, NIL, ProxyMaker
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

REVISION = 2
"""Changes with the interface to the Python modules, so that a library left from another build is told."""

cdef object UTC = _datetime.timezone.utc

include "_accel_scanner.pxi"
include "_accel_fields.pxi"
include "_accel_values.pxi"
include "_accel_tags.pxi"
include "_accel_frames.pxi"
include "_accel_reader.pxi"
