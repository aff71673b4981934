"""Values that a host shows: pure functions from a release and a configuration to data objects.

No object of the registry and no I/O. They are called when a client first asks, so that a host starts as
fast as without them. Each module names the recordings that its values come from:

`F41`  a standalone ESX 4.1.0, `resources/esx-4.1.0-1/*.soap` of fusioninventory-agent
`G65`  a standalone ESXi 6.5.0, `simulator/esx/*.go` of govmomi
`P80`  an ESXi 8.0.3, `tests/fixtures/test_json_host_explode.yaml` of pyVmomi
"""
