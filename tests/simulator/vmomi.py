"""The parts of pyVmomi that the tests use, as untyped values: it annotates some of its classes, and those wrongly."""

from __future__ import annotations

from typing import Any

import pyVim.connect
import pyVim.task
import pyVmomi

vim: Any = pyVmomi.vim
vmodl: Any = pyVmomi.vmodl

Disconnect: Any = pyVim.connect.Disconnect
SmartConnect: Any = pyVim.connect.SmartConnect
WaitForTask: Any = pyVim.task.WaitForTask
SoapStubAdapter: Any = pyVmomi.SoapAdapter.SoapStubAdapter
GetWsdlMethod: Any = pyVmomi.VmomiSupport.GetWsdlMethod
GetWsdlType: Any = pyVmomi.VmomiSupport.GetWsdlType
DataObject: Any = pyVmomi.VmomiSupport.DataObject
