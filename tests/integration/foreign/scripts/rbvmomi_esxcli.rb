# rbvmomi's esxcli, which calls commands as methods: runs each that needs no argument; prints JSON.
require "json"
require "rbvmomi"

login = JSON.parse($stdin.read)
vim = RbVmomi::VIM.connect(
  host: "127.0.0.1", port: login["port"], user: login["username"], password: login["password"],
  insecure: true
)
host = vim.serviceInstance.find_datacenter.hostFolder.children.first.host.first

def commands(space, path = [])
  own = space.commands.map { |name, command| [[*path, name].join("."), command] }
  own + space.namespaces.flat_map { |name, below| commands(below, [*path, name]) }
end

def plain(value)
  case value
  when Array then value.map { |each| plain(each) }
  when RbVmomi::BasicTypes::DataObject then value.props
  else value
  end
end

begin
  found = commands(host.esxcli)
rescue RuntimeError => e
  puts JSON.generate("refused" => e.message)
  exit
end
answers = {}
needed = {}
helps = {}
found.each do |name, command|
  optional, must = command.type_info.paramTypeInfo.partition { |param| param.annotation.any? }
  needed[name] = must.map(&:name)
  helps[name] = command.cli_info.help
  answers[name] = plain(command.call) if must.empty?
end
begin
  kill = login["processes"].split(".").reduce(host.esxcli) { |space, part| space.namespaces[part] }
  kill.kill(type: "soft", worldid: "7")
rescue RbVmomi::Fault => e
  fault = [e.fault.class.wsdl_name, e.message, e.fault.errMsg]
end
puts JSON.generate("answers" => answers, "needed" => needed, "helps" => helps, "fault" => fault)
vim.close
