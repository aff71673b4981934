# rbvmomi on a host: reads the login from standard input, prints a JSON document of what it did and saw.
require "json"
require "rbvmomi"

login = JSON.parse($stdin.read)
vim = RbVmomi::VIM.connect(
  host: "127.0.0.1", port: login["port"], user: login["username"], password: login["password"],
  insecure: true
)
told = {}
center = vim.serviceInstance.find_datacenter
told["datacenter"] = center.name
told["host"] = center.hostFolder.children.flat_map { |each| each.host.map(&:name) }
host = center.hostFolder.children[0].host[0]
told["cores"] = host.hardware.cpuInfo.numCpuCores
told["product"] = host.config.product.fullName
told["datastores"] = center.datastore.map { |each| [each.name, each.summary.capacity] }

spec = RbVmomi::VIM.VirtualMachineConfigSpec(
  name: "made by ruby", guestId: "otherGuest", numCPUs: 1, memoryMB: 64, annotation: "a < b & c",
  files: { vmPathName: "[datastore1]" },
  deviceChange: [
    {
      operation: :add,
      device: RbVmomi::VIM.VirtualLsiLogicController(key: 1000, busNumber: 0, sharedBus: :noSharing)
    },
    {
      operation: :add, fileOperation: :create,
      device: RbVmomi::VIM.VirtualDisk(
        key: 0, controllerKey: 1000, unitNumber: 0, capacityInKB: 4096,
        backing: RbVmomi::VIM.VirtualDiskFlatVer2BackingInfo(
          fileName: "[datastore1]", diskMode: :persistent, thinProvisioned: true
        )
      )
    }
  ]
)
pool = center.hostFolder.children[0].resourcePool
machine = center.vmFolder.CreateVM_Task(config: spec, pool: pool).wait_for_completion
told["disks"] = machine.disks.map(&:capacityInKB)
told["annotation"] = machine.config.annotation
told["power"] = [machine.runtime.powerState]
machine.PowerOnVM_Task.wait_for_completion
told["power"] << machine.runtime.powerState
begin
  machine.PowerOnVM_Task.wait_for_completion
rescue RbVmomi::Fault => e
  told["task fault"] = e.fault.class.wsdl_name
end
begin
  vim.serviceContent.fileManager.MakeDirectory(name: "[nowhere] a", datacenter: center)
rescue RbVmomi::Fault => e
  told["call fault"] = e.fault.class.wsdl_name
end
machine.CreateSnapshot_Task(name: "s", description: "d", memory: false, quiesce: false).wait_for_completion
told["snapshots"] = machine.snapshot.rootSnapshotList.map { |each| [each.name, each.description] }
view = vim.serviceContent.viewManager.CreateContainerView(
  container: vim.rootFolder, type: ["VirtualMachine"], recursive: true
)
told["view"] = view.view.map(&:name)
view.DestroyView
told["found"] = center.find_vm("made by ruby") == machine
vim.close
puts JSON.generate(told)
