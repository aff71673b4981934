# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, embedsignature=False, auto_pickle=False
"""Reads the content of one message in C: the common cases only.

Expat reads the declaration, the envelope, the header and the end of a message. It also reads each
tag with attributes or a prefix that is not in the cache, and texts with references, comments and
sections: each such piece goes to an expat parser of its own, so that the result and the errors are
those of the pure decoder. Read here: tags that are a plain name, plain texts, numbers, booleans,
times in UTC. The grammar of each part is at the top of its file.

Memory: the bytes in hand are always a bytes object, whose data ends with a NUL that is not part of
them. Each loop stops at a byte that it does not know, NUL included; looking ahead is preceded by
a comparison with the end. An incomplete token is left for the next call. Nothing is allocated but
Python objects and the arrays of these files, which grow by doubling.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.datetime cimport datetime_new, import_datetime
from cpython.list cimport PyList_GET_ITEM, PyList_SetItem
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.string cimport memchr, memcmp, memcpy

import datetime as _datetime

from vimlib.soap._leaf import DECODE, RANGES, InvalidValueError
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
from vimlib.soap._typed import DECODE_ANY

import_datetime()

cdef extern from "Python.h":
    object PyObject_Vectorcall(object callable, PyObject** args, size_t nargs, PyObject* kwnames)
    object PyUnicode_DecodeUTF8(const char* s, Py_ssize_t size, const char* errors)
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void* PyUnicode_DATA(object o)
    Py_ssize_t PyUnicode_GET_LENGTH(object o)
    PyObject** PySequence_Fast_ITEMS(object o)

REVISION = 3
"""Changes with the interface to the Python modules, so that a library left from another build is told."""

cdef object UTC = _datetime.timezone.utc

include "_accel_scanner.pxi"
include "_accel_fields.pxi"
include "_accel_values.pxi"
include "_accel_tags.pxi"
include "_accel_frames.pxi"
include "_accel_reader.pxi"
