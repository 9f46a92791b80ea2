//! What `buf lint` checks as STANDARD, over compiled descriptors, so that the contract is linted wherever it is built.
//!
//! It knows descriptors and nothing of Danso. Rule names are buf's own.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet, ServiceDescriptorProto,
};

/// A lint rule was broken: the rule's name and where.
pub type Fault = (&'static str, String);

/// Checks the files whose package begins with `prefix`; what they import from elsewhere is not ours to judge.
pub fn lint(set: &FileDescriptorSet, prefix: &str) -> Vec<Fault> {
    let files: Vec<&FileDescriptorProto> = set.file.iter().filter(|f| !is_foreign(f, prefix)).collect();
    let mut faults = Vec::new();
    for file in &files {
        lint_file(file, &mut faults);
    }
    packages(&files, &mut faults);
    cycles(&files, &mut faults);
    rpc_types_are_unique(&files, &mut faults);
    faults
}

fn is_foreign(file: &FileDescriptorProto, prefix: &str) -> bool {
    !file.package().is_empty() && !file.package().starts_with(prefix)
}

fn lint_file(file: &FileDescriptorProto, faults: &mut Vec<Fault>) {
    let name = file.name();
    let stem = name.rsplit('/').next().unwrap_or(name).trim_end_matches(".proto");
    let mut say = |ok: bool, rule, what: &str| expect(ok, rule, format!("{name}: {what}"), faults);
    say(is_lower_snake(stem), "FILE_LOWER_SNAKE_CASE", stem);
    // Left out, it would be proto2.
    say(file.syntax.is_some(), "SYNTAX_SPECIFIED", "no syntax");
    say(file.public_dependency.is_empty(), "IMPORT_NO_PUBLIC", "imports publicly");
    say(!file.package().is_empty(), "PACKAGE_DEFINED", "no package");
    if !file.package().is_empty() {
        let dir = name.rsplit_once('/').map_or("", |(dir, _)| dir);
        say(dir == file.package().replace('.', "/"), "PACKAGE_DIRECTORY_MATCH", file.package());
        say(file.package().split('.').all(is_lower_snake), "PACKAGE_LOWER_SNAKE_CASE", file.package());
        say(has_version(file.package()), "PACKAGE_VERSION_SUFFIX", file.package());
    }
    for unused in unused_imports(file) {
        expect(false, "IMPORT_USED", format!("{name}: {unused}"), faults);
    }
    for message in &file.message_type {
        lint_message(message, name, faults);
    }
    for one in &file.enum_type {
        lint_enum(one, name, faults);
    }
    for service in &file.service {
        lint_service(service, name, faults);
    }
}

fn lint_message(message: &DescriptorProto, scope: &str, faults: &mut Vec<Fault>) {
    let here = format!("{scope}: {}", message.name());
    if message.options.as_ref().is_some_and(|o| o.map_entry()) {
        return;
    }
    expect(is_pascal(message.name()), "MESSAGE_PASCAL_CASE", here.clone(), faults);
    for field in &message.field {
        let what = format!("{here}.{}", field.name());
        expect(is_lower_snake(field.name()), "FIELD_LOWER_SNAKE_CASE", what.clone(), faults);
        let required = field.label() == prost_types::field_descriptor_proto::Label::Required;
        expect(!required, "FIELD_NOT_REQUIRED", what, faults);
    }
    for one in &message.oneof_decl {
        // A proto3 `optional` makes a oneof of its own, whose name begins with an underscore.
        let made = one.name().starts_with('_');
        expect(made || is_lower_snake(one.name()), "ONEOF_LOWER_SNAKE_CASE", format!("{here}.{}", one.name()), faults);
    }
    for nested in &message.nested_type {
        lint_message(nested, &here, faults);
    }
    for nested in &message.enum_type {
        lint_enum(nested, &here, faults);
    }
}

fn lint_enum(one: &EnumDescriptorProto, scope: &str, faults: &mut Vec<Fault>) {
    let here = format!("{scope}: {}", one.name());
    expect(is_pascal(one.name()), "ENUM_PASCAL_CASE", here.clone(), faults);
    expect(!one.options.as_ref().is_some_and(|o| o.allow_alias()), "ENUM_NO_ALLOW_ALIAS", here.clone(), faults);
    let prefix = format!("{}_", upper_snake(one.name()));
    for (at, value) in one.value.iter().enumerate() {
        let what = format!("{here}.{}", value.name());
        expect(is_upper_snake(value.name()), "ENUM_VALUE_UPPER_SNAKE_CASE", what.clone(), faults);
        expect(value.name().to_uppercase().starts_with(&prefix), "ENUM_VALUE_PREFIX", what.clone(), faults);
        if at == 0 {
            expect(value.number() == 0, "ENUM_FIRST_VALUE_ZERO", what.clone(), faults);
        }
        if value.number() == 0 {
            expect(value.name().ends_with("_UNSPECIFIED"), "ENUM_ZERO_VALUE_SUFFIX", what, faults);
        }
    }
}

fn lint_service(service: &ServiceDescriptorProto, scope: &str, faults: &mut Vec<Fault>) {
    let here = format!("{scope}: {}", service.name());
    expect(is_pascal(service.name()), "SERVICE_PASCAL_CASE", here.clone(), faults);
    expect(service.name().ends_with("Service"), "SERVICE_SUFFIX", here.clone(), faults);
    for method in &service.method {
        let what = format!("{here}.{}", method.name());
        expect(is_pascal(method.name()), "RPC_PASCAL_CASE", what.clone(), faults);
        let standard = |type_name: &str, suffix: &str| {
            let short = type_name.rsplit('.').next().unwrap_or(type_name);
            [format!("{}{suffix}", method.name()), format!("{}{}{suffix}", service.name(), method.name())]
                .iter()
                .any(|n| n == short)
        };
        expect(standard(method.input_type(), "Request"), "RPC_REQUEST_STANDARD_NAME", what.clone(), faults);
        expect(standard(method.output_type(), "Response"), "RPC_RESPONSE_STANDARD_NAME", what, faults);
    }
}

fn rpc_types_are_unique(files: &[&FileDescriptorProto], faults: &mut Vec<Fault>) {
    let mut users: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for service in files.iter().flat_map(|f| &f.service) {
        for method in &service.method {
            let who = |side: &str| format!("{}.{} {side}", service.name(), method.name());
            users.entry(method.input_type()).or_default().insert(who("request"));
            users.entry(method.output_type()).or_default().insert(who("response"));
        }
    }
    for (type_name, users) in users.into_iter().filter(|(_, users)| users.len() > 1) {
        let users: Vec<String> = users.into_iter().collect();
        expect(false, "RPC_REQUEST_RESPONSE_UNIQUE", format!("{type_name}: {}", users.join(", ")), faults);
    }
}

/// One package a directory, and one directory a package.
fn packages(files: &[&FileDescriptorProto], faults: &mut Vec<Fault>) {
    let mut of_dir: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in files {
        let dir = file.name().rsplit_once('/').map_or("", |(dir, _)| dir);
        of_dir.entry(dir).or_default().insert(file.package());
    }
    for (dir, packages) in of_dir.into_iter().filter(|(_, packages)| packages.len() > 1) {
        expect(false, "DIRECTORY_SAME_PACKAGE", format!("{dir}: {packages:?}"), faults);
    }
}

fn cycles(files: &[&FileDescriptorProto], faults: &mut Vec<Fault>) {
    let package_of: BTreeMap<&str, &str> = files.iter().map(|f| (f.name(), f.package())).collect();
    let mut imports: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in files {
        let targets =
            file.dependency.iter().filter_map(|d| package_of.get(d.as_str())).filter(|p| **p != file.package());
        imports.entry(file.package()).or_default().extend(targets);
    }
    for start in imports.keys() {
        let (mut open, mut seen) = (vec![*start], BTreeSet::new());
        while let Some(package) = open.pop() {
            for next in imports.get(package).into_iter().flatten() {
                if next == start {
                    // Its other packages lie on the same cycle: one report is enough.
                    expect(false, "PACKAGE_NO_IMPORT_CYCLE", format!("{start} through {package}"), faults);
                    return;
                } else if seen.insert(*next) {
                    open.push(next);
                }
            }
        }
    }
}

/// Imports of our own packages and well-known types of which no type is named in the file.
fn unused_imports(file: &FileDescriptorProto) -> Vec<String> {
    fn of_message<'a>(message: &'a DescriptorProto, used: &mut Vec<&'a str>) {
        used.extend(message.field.iter().filter_map(|f| f.type_name.as_deref()));
        for nested in &message.nested_type {
            of_message(nested, used);
        }
    }
    let mut used = Vec::new();
    for message in &file.message_type {
        of_message(message, &mut used);
    }
    for method in file.service.iter().flat_map(|s| &s.method) {
        used.extend([method.input_type(), method.output_type()]);
    }
    let package =
        |import: &str| import.rsplit_once('/').map_or(String::new(), |(dir, _)| format!(".{}.", dir.replace('/', ".")));
    // Inside one package the file cannot be told from the type's name: buf itself stays for that.
    let own = format!(".{}.", file.package());
    let unused =
        file.dependency.iter().filter(|d| package(d) != own && !used.iter().any(|u| u.starts_with(&package(d))));
    unused.cloned().collect()
}

fn expect(ok: bool, rule: &'static str, what: String, faults: &mut Vec<Fault>) {
    if !ok {
        faults.push((rule, what));
    }
}

fn has_version(package: &str) -> bool {
    let last = package.rsplit('.').next().unwrap_or_default();
    let digits = last.strip_prefix('v').unwrap_or_default();
    package.contains('.')
        && digits.starts_with(|c: char| ('1'..='9').contains(&c))
        && digits.bytes().all(|b| b.is_ascii_digit())
}

fn is_pascal(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn is_lower_snake(name: &str) -> bool {
    let bytes = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    bytes && name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('_') && !name.contains("__")
}

fn is_upper_snake(name: &str) -> bool {
    is_lower_snake(&name.to_ascii_lowercase()) && !name.bytes().any(|b| b.is_ascii_lowercase())
}

/// `LinkState` is `LINK_STATE`.
fn upper_snake(name: &str) -> String {
    let mut out = String::new();
    for (at, c) in name.chars().enumerate() {
        if at > 0 && c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}
