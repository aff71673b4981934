# rbvmomi: starts the machine `one` as often as it is told, then once more; prints each error as JSON.
require "json"
require "rbvmomi"

login = JSON.parse($stdin.read)
vim = RbVmomi::VIM.connect(
  host: "127.0.0.1", port: login["port"], user: login["username"], password: login["password"],
  insecure: true
)
machine = vim.serviceInstance.find_datacenter.find_vm("one")
messages = Array.new(login["times"]) do
  begin
    machine.PowerOnVM_Task.wait_for_completion
    "no error"
  rescue RbVmomi::Fault => e
    e.message
  end
end
machine.PowerOnVM_Task.wait_for_completion
puts JSON.generate("messages" => messages, "power" => machine.runtime.powerState)
vim.close
