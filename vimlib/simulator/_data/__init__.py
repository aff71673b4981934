"""Values that a host shows: pure functions from a release and a configuration to data objects.

No object of the registry and no I/O. They are called when a client first asks, so that a host starts as
fast as without them. Each module names the recorded hosts that its values come from:

ESX 4.1   standalone, 4.1.0: `resources/esx-4.1.0-1/*.soap` of fusioninventory-agent
ESXi 6.5  standalone, 6.5.0: `simulator/esx/*.go` of govmomi
ESXi 8.0  8.0.3: `tests/fixtures/test_json_host_explode.yaml` of pyVmomi
"""
