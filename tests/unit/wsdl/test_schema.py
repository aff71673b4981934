"""The rules from type facts to wire: counted over the real tables, broken over doctored ones."""

import dataclasses
from collections.abc import Callable

import pytest

from wsdl import schema, typeinfo
from wsdl.schema import SchemaField, SchemaMethod, SchemaStruct, Service
from wsdl.typeinfo import Flag, TypeInfoError, VmodlTables


def counts(service: Service) -> tuple[int, ...]:
    return (
        len(service.managed),
        sum(len(managed.properties) for managed in service.managed),
        len(service.methods),
        sum(not struct.fault for struct in service.structs),
        sum(struct.fault for struct in service.structs),
        len(service.enums),
        sum(len(enum.values) for enum in service.enums),
    )


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("2.5", (67, 154, 323, 914, 249, 122, 788)),
        ("4.1", (97, 206, 496, 1436, 484, 211, 1238)),
        ("5.5", (112, 221, 625, 1761, 644, 275, 1517)),
        ("7.0.0.0", (139, 258, 914, 2138, 695, 386, 1886)),
        ("9.0.0.0", (140, 265, 968, 2297, 697, 438, 2063)),
        (None, (141, 266, 975, 2331, 699, 446, 2088)),
    ],
)
def test_counts(tables: VmodlTables, release: str | None, expected: tuple[int, ...]) -> None:
    assert counts(schema.resolve(tables, release)) == expected


def test_unknown_release(tables: VmodlTables) -> None:
    with pytest.raises(ValueError):
        schema.resolve(tables, "4.2")


def struct(service: Service, name: str) -> SchemaStruct:
    return next(item for item in service.structs if item.name == name)


def method(service: Service, name: str) -> SchemaMethod:
    return next(item for _, item in service.methods if item.name == name)


def field(fields: tuple[SchemaField, ...], name: str) -> SchemaField:
    return next(item for item in fields if item.name == name)


def test_everything_is_sorted_by_name(service: Service) -> None:
    for items in (service.enums, service.structs, service.managed):
        names = [item.name for item in items]
        assert names == sorted(names)
    assert [m.name for _, m in service.methods] == sorted(m.name for _, m in service.methods)


def test_wire_order_is_the_tables(service: Service) -> None:
    assert [f.name for f in struct(service, "VirtualDevice").fields] == [
        "key", "deviceInfo", "backing", "connectable", "slotInfo",
        "controllerKey", "unitNumber", "numaNode", "deviceGroupInfo",
    ]  # fmt: skip
    assert [f.name for f in struct(service, "DynamicData").fields] == [
        "dynamicType", "dynamicProperty"
    ]  # fmt: skip


def test_a_release_is_a_part_of_the_next_with_its_order(
    tables: VmodlTables, service: Service
) -> None:
    old = schema.resolve(tables, "4.1")
    whole = {item.name: item for item in service.structs}
    for item in old.structs:
        new = whole[item.name]
        assert (item.base, item.since) == (new.base, new.since)
        known = {f.name for f in item.fields}
        assert item.fields == tuple(f for f in new.fields if f.name in known)


def test_younger_than_its_type_is_optional(service: Service) -> None:
    """No host before the field's own release can send it, so none is required."""
    rank = {version.id: n for n, version in enumerate(service.versions)}
    first = rank["2.5"]
    younger = 0
    for item in service.structs:
        for f in item.fields:
            if rank[f.since] > max(first, rank[item.since]):
                younger += 1
                assert f.optional, f"{item.name}.{f.name}"
    assert younger > 1500
    assert field(struct(service, "VirtualDevice").fields, "slotInfo").since == "5.1"
    assert not field(struct(service, "VirtualDevice").fields, "key").optional


def test_a_field_required_by_the_tables_but_younger_is_optional(
    tables: VmodlTables, service: Service
) -> None:
    """The rule is not idle: the tables' own flag says less."""
    flagged = {
        (data.wsdl, f.name)
        for data in tables.data.values()
        for f in data.fields
        if Flag.OPTIONAL in f.flags
    }
    added = [
        (item.name, f.name)
        for item in service.structs
        for f in item.fields
        if f.optional and (item.name, f.name) not in flagged
    ]
    assert ("ConfigTarget", "smcPresent") in added


def test_request_since(service: Service) -> None:
    retrieve = method(service, "RetrievePropertiesEx")
    assert retrieve.since == "4.1"
    assert [(p.name, p.type, p.array, p.optional) for p in retrieve.params] == [
        ("specSet", "PropertyFilterSpec", True, False),
        ("options", "RetrieveOptions", False, False),
    ]
    assert retrieve.returns is not None
    assert (retrieve.returns.type, retrieve.returns.optional) == ("RetrieveResult", True)
    assert not retrieve.task


def test_task_without_a_result(service: Service) -> None:
    power_on = method(service, "PowerOnVM_Task")
    assert power_on.task
    assert power_on.task_result is None
    assert power_on.request == "PowerOnVMRequestType"
    assert power_on.privilege == "VirtualMachine.Interact.PowerOn"
    assert power_on.returns is not None
    assert (power_on.returns.ref, power_on.returns.optional) == ("Task", False)


def test_task_with_a_result(service: Service) -> None:
    create = method(service, "CreateVM_Task")
    assert create.task_result is not None
    assert (create.task_result.type, create.task_result.ref) == (schema.MOREF, "VirtualMachine")
    assert sum(m.task for _, m in service.methods) == 249


def test_request_names_are_unique(service: Service) -> None:
    names = [m.request for _, m in service.methods]
    assert len(set(names)) == len(names)


def test_words(service: Service) -> None:
    login = method(service, "Login")
    assert [p.secret for p in login.params] == [False, True, False]
    lun = field(struct(service, "HostMultipathInfoLogicalUnit").fields, "lun")
    assert (lun.type, lun.link) == ("xsd:string", "ScsiLun")
    host = field(struct(service, "VirtualMachineRuntimeInfo").fields, "host")
    assert (host.type, host.ref) == (schema.MOREF, "HostSystem")
    assert field(struct(service, "TaskInfo").fields, "error").type == "LocalizedMethodFault"
    assert field(struct(service, "LocalizedMethodFault").fields, "fault").type == "MethodFault"
    assert field(struct(service, "MethodFault").fields, "faultCause").type == "LocalizedMethodFault"
    assert field(struct(service, "PropertySpec").fields, "pathSet").type == "xsd:string"
    assert field(struct(service, "OptionValue").fields, "value").type == "xsd:anyType"
    state = field(struct(service, "VirtualMachineRuntimeInfo").fields, "powerState")
    assert state.type == "VirtualMachinePowerState"


def test_every_word_is_known(service: Service) -> None:
    known = {item.name for item in service.structs} | {item.name for item in service.enums}
    known.add(schema.MOREF)
    managed = {item.name for item in service.managed}
    fields = [f for item in service.structs for f in item.fields]
    fields += [f for item in service.managed for f in item.properties]
    for _, m in service.methods:
        fields += [*m.params, *(f for f in (m.returns, m.task_result) if f)]
    for f in fields:
        assert f.type.startswith("xsd:") or f.type in known
        assert (f.ref in managed) == (f.type == schema.MOREF)
    assert len(fields) > 9_979


def test_only_four_types_have_no_base(service: Service) -> None:
    assert [item.name for item in service.structs if item.base is None] == [
        "DynamicArray", "DynamicData", "DynamicProperty", "MethodFault"
    ]  # fmt: skip
    assert [item.name for item in service.managed if item.base is None] == ["ManagedObject"]


def doctored(tables: VmodlTables) -> VmodlTables:
    return dataclasses.replace(
        tables,
        **{name: dict(getattr(tables, name)) for name in ("data", "enums", "managed")},
    )


def add_data(
    tables: VmodlTables, *fields: tuple[str, str, Flag], base: str = "vmodl.DynamicData"
) -> None:
    version = "vim.version.version1"
    tables.data["vim.New"] = typeinfo.VmodlData(
        "vim.New", "New", base, version,
        tuple(typeinfo.VmodlField(name, type_, version, flags) for name, type_, flags in fields),
    )  # fmt: skip


def change_method(tables: VmodlTables, **changes: object) -> None:
    folder = tables.managed["vim.Folder"]
    first = dataclasses.replace(folder.methods[0], **changes)  # type: ignore[arg-type]
    tables.managed["vim.Folder"] = dataclasses.replace(folder, methods=(first, *folder.methods[1:]))


def unknown_type(tables: VmodlTables) -> None:
    add_data(tables, ("x", "vim.Nowhere", Flag(0)))


def link_to_a_managed_type(tables: VmodlTables) -> None:
    add_data(tables, ("x", "vim.VirtualMachine", Flag.LINK))


def unknown_base(tables: VmodlTables) -> None:
    add_data(tables, base="vim.Nowhere")


def circle_of_bases(tables: VmodlTables) -> None:
    add_data(tables, base="vim.New")


def field_of_a_base_again(tables: VmodlTables) -> None:
    add_data(tables, ("dynamicType", "string", Flag(0)))


def name_taken(tables: VmodlTables) -> None:
    add_data(tables)
    tables.enums["vim.Other"] = typeinfo.VmodlEnum("vim.Other", "New", "vim.version.version1", ())


def half_a_task(tables: VmodlTables) -> None:
    change_method(tables, wire_type="vim.Task", result_type="void")


def fault_that_is_none(tables: VmodlTables) -> None:
    change_method(tables, faults=("vim.vm.ConfigSpec",))


def method_name_taken(tables: VmodlTables) -> None:
    change_method(tables, wsdl="Login")


def request_name_taken(tables: VmodlTables) -> None:
    change_method(tables, wsdl="PowerOnVM")


def built_in_type_declared(tables: VmodlTables) -> None:
    tables.data["vmodl.MethodFault"] = tables.data["vim.vm.ConfigSpec"]


def unreleased(tables: VmodlTables) -> None:
    change_method(tables, version="vim.version.version99")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (unknown_type, "vim.Nowhere"),
        (link_to_a_managed_type, "a link to vim.VirtualMachine"),
        (unknown_base, "vim.Nowhere"),
        (circle_of_bases, "vim.New"),
        (field_of_a_base_again, "dynamicType"),
        (name_taken, "declared twice: type New"),
        (half_a_task, "half a task"),
        (fault_that_is_none, "vim.vm.ConfigSpec"),
        (method_name_taken, "declared twice: method Login"),
        (request_name_taken, "declared twice: type PowerOnVMRequestType"),
        (built_in_type_declared, "built into VMODL"),
        (unreleased, "version99"),
    ],
)
def test_a_contradiction_is_refused(
    tables: VmodlTables, change: Callable[[VmodlTables], None], message: str
) -> None:
    """Each guards a rule that the conversion rests on; the message names the culprit."""
    changed = doctored(tables)
    change(changed)
    with pytest.raises(TypeInfoError) as caught:
        schema.resolve(changed)
    assert message in str(caught.value)
