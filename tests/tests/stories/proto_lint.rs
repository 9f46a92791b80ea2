//! The wire contract is linted as `buf lint` would, and each rule reports a fault that is planted for it.

use danso_tests::proto_lint::lint;
use prost::Message as _;
use prost_types::{EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};

const OURS: &str = "danso.";

fn contract() -> FileDescriptorSet {
    FileDescriptorSet::decode(danso_proto::DESCRIPTORS).unwrap()
}

fn file<'a>(set: &'a mut FileDescriptorSet, end: &str) -> &'a mut FileDescriptorProto {
    set.file.iter_mut().find(|f| f.name().ends_with(end)).unwrap()
}

fn an_enum(set: &mut FileDescriptorSet) -> &mut EnumDescriptorProto {
    file(set, "admin.proto").enum_type.iter_mut().find(|e| e.name() == "LinkState").unwrap()
}

#[test]
fn the_contract_is_clean() {
    let set = contract();
    assert!(set.file.iter().filter(|f| f.package().starts_with(OURS)).count() >= 6);
    assert_eq!(lint(&set, OURS), []);
}

/// A way to break the contract.
type Plant = fn(&mut FileDescriptorSet);

#[test]
fn a_planted_fault_is_reported_by_its_rule() {
    let planted: &[(&str, Plant)] = &[
        ("PACKAGE_DEFINED", |s| {
            // Into a directory of its own, so that nothing but the package is missing.
            let mut bare = FileDescriptorProto { name: Some("bare.proto".into()), ..FileDescriptorProto::default() };
            bare.syntax = Some("proto3".into());
            s.file.push(bare);
        }),
        ("PACKAGE_DIRECTORY_MATCH", |s| {
            for f in s.file.iter_mut().filter(|f| f.name().ends_with("admin.proto")) {
                f.name = Some("danso/else/v1/admin.proto".into());
            }
        }),
        ("PACKAGE_VERSION_SUFFIX", |s| {
            let f = file(s, "admin.proto");
            f.package = Some("danso.admin".into());
            f.name = Some("danso/admin/admin.proto".into());
        }),
        ("PACKAGE_LOWER_SNAKE_CASE", |s| {
            let f = file(s, "admin.proto");
            f.package = Some("danso.Admin.v1".into());
            f.name = Some("danso/Admin/v1/admin.proto".into());
        }),
        ("PACKAGE_NO_IMPORT_CYCLE", |s| {
            let f = file(s, "query.proto");
            f.dependency.push("danso/exchange/v1/exchange.proto".into());
            f.message_type[0].field[0].type_name = Some(".danso.exchange.v1.Frame".into());
        }),
        ("FILE_LOWER_SNAKE_CASE", |s| file(s, "admin.proto").name = Some("danso/admin/v1/Admin.proto".into())),
        ("SYNTAX_SPECIFIED", |s| file(s, "admin.proto").syntax = None),
        ("IMPORT_NO_PUBLIC", |s| file(s, "exchange.proto").public_dependency.push(0)),
        ("IMPORT_USED", |s| file(s, "admin.proto").dependency.push("danso/query/v1/query.proto".into())),
        ("MESSAGE_PASCAL_CASE", |s| {
            file(s, "exchange.proto").message_type.last_mut().unwrap().name = Some("log_state".into())
        }),
        ("FIELD_LOWER_SNAKE_CASE", |s| file(s, "admin.proto").message_type[1].field[0].name = Some("nodeId".into())),
        ("FIELD_NOT_REQUIRED", |s| file(s, "admin.proto").message_type[1].field[0].label = Some(2)),
        ("ONEOF_LOWER_SNAKE_CASE", |s| {
            let messages = &mut file(s, "admin.proto").message_type;
            let with = messages.iter_mut().find(|m| !m.oneof_decl.is_empty()).unwrap();
            with.oneof_decl[0].name = Some("Body".into());
        }),
        ("ENUM_PASCAL_CASE", |s| {
            let e = an_enum(s);
            e.name = Some("Link_state".into());
            for v in &mut e.value {
                v.name = v.name.as_ref().map(|n| n.replace("LINK_STATE", "LINK__STATE").replace("__", "_"));
            }
        }),
        ("ENUM_NO_ALLOW_ALIAS", |s| an_enum(s).options.get_or_insert_default().allow_alias = Some(true)),
        ("ENUM_FIRST_VALUE_ZERO", |s| an_enum(s).value.rotate_left(1)),
        ("ENUM_VALUE_UPPER_SNAKE_CASE", |s| an_enum(s).value[1].name = Some("LINK_STATE_none".into())),
        ("ENUM_VALUE_PREFIX", |s| an_enum(s).value[1].name = Some("NONE".into())),
        ("ENUM_ZERO_VALUE_SUFFIX", |s| an_enum(s).value[0].name = Some("LINK_STATE_OTHER".into())),
        ("SERVICE_SUFFIX", |s| file(s, "admin.proto").service[0].name = Some("Admin".into())),
        ("SERVICE_PASCAL_CASE", |s| file(s, "admin.proto").service[0].name = Some("adminService".into())),
        ("RPC_PASCAL_CASE", |s| {
            // The name of its types goes along, so that only the case is wrong.
            let m = &mut file(s, "admin.proto").service[0].method[0];
            m.name = Some("getStatus".into());
            m.input_type = Some(".danso.admin.v1.getStatusRequest".into());
            m.output_type = Some(".danso.admin.v1.getStatusResponse".into());
        }),
        ("RPC_REQUEST_STANDARD_NAME", |s| {
            file(s, "admin.proto").service[0].method[0].input_type = Some(".danso.admin.v1.Get".into())
        }),
        ("RPC_RESPONSE_STANDARD_NAME", |s| {
            file(s, "admin.proto").service[0].method[0].output_type = Some(".danso.admin.v1.Got".into())
        }),
    ];
    for (rule, plant) in planted {
        let mut set = contract();
        plant(&mut set);
        let rules: Vec<&str> = lint(&set, OURS).into_iter().map(|(rule, _)| rule).collect();
        assert_eq!(rules, [*rule]);
    }
}

#[test]
fn a_shared_request_type_is_reported() {
    let mut set = contract();
    let methods = &mut file(&mut set, "admin.proto").service[0].method;
    methods[1].input_type = methods[0].input_type.clone();
    let rules: Vec<&str> = lint(&set, OURS).into_iter().map(|(rule, _)| rule).collect();
    assert_eq!(rules, ["RPC_REQUEST_STANDARD_NAME", "RPC_REQUEST_RESPONSE_UNIQUE"]);
}

#[test]
fn two_packages_in_a_directory_are_reported() {
    let mut set = contract();
    file(&mut set, "proof.proto").package = Some("danso.other.v1".into());
    let rules: Vec<&str> = lint(&set, OURS).into_iter().map(|(rule, _)| rule).collect();
    assert!(rules.contains(&"DIRECTORY_SAME_PACKAGE"), "{rules:?}");
}
