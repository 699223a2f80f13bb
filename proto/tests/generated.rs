//! The committed code under `src/generated` is what the schema under `proto/` generates, and the
//! schema only grows. Knows nothing of what the messages mean.
//!
//! `UPDATE_GENERATED=1 cargo test -p loop-proto --test generated` writes the code anew. This test
//! builds the crate, so change the schema and run it before using what is new.

use std::fs;
use std::path::{Path, PathBuf};

fn schema_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("proto")
}

/// The schema's files, in a fixed order.
fn schema_files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(schema_dir().join("inspect/v1"))
        .expect("the schema's folder is in the package")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "proto"))
        .collect();
    files.sort();
    files
}

fn descriptors() -> prost_types::FileDescriptorSet {
    protox::compile(schema_files(), [schema_dir()]).expect("the schema compiles")
}

fn generate() -> String {
    let out = tempdir();
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        // The transport of tonic needs tokio's runtime; both our ends bring their own.
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .out_dir(&out)
        .compile_fds(descriptors())
        .expect("the schema generates");
    let code = fs::read_to_string(out.join("inspect.v1.rs")).expect("one package, one file");
    fs::remove_dir_all(&out).expect("the folder is ours");
    code
}

fn tempdir() -> PathBuf {
    let dir = std::env::temp_dir().join(format!("loop-proto-generated-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a writable temporary folder");
    dir
}

#[test]
fn the_committed_code_is_what_the_schema_generates() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated/inspect.v1.rs");
    let fresh = generate();
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, fresh).expect("a writable source folder");
        return;
    }
    let committed = fs::read_to_string(&path).expect("the generated code is committed");
    assert!(
        committed == fresh,
        "src/generated/inspect.v1.rs is stale: run UPDATE_GENERATED=1 cargo test -p loop-proto --test generated"
    );
}

#[test]
fn every_field_enum_value_and_call_has_prose() {
    let mut silent = Vec::new();
    for file in schema_files() {
        let text = fs::read_to_string(&file).expect("a readable file");
        let mut before = "";
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            let declares =
                (!line.starts_with("syntax ") && line.ends_with(';') && line.contains(" = "))
                    || line.starts_with("rpc ")
                    || line.starts_with("message ")
                    || line.starts_with("enum ")
                    || line.starts_with("oneof ")
                    || line.starts_with("service ");
            if declares && !line.starts_with("//") && !before.starts_with("//") {
                silent.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
            before = line;
        }
    }
    assert_eq!(silent, Vec::<String>::new());
}

/// Every field, enum value and call as a line: what a release may never change or take away.
fn lines(set: &prost_types::FileDescriptorSet) -> Vec<String> {
    let mut lines = Vec::new();
    for file in &set.file {
        for message in &file.message_type {
            lines.extend(message.field.iter().map(|field| {
                let kind = match field.type_name().rsplit('.').next() {
                    Some(name) if !name.is_empty() => name.to_owned(),
                    _ => field
                        .r#type()
                        .as_str_name()
                        .trim_start_matches("TYPE_")
                        .to_lowercase(),
                };
                let many = match field.label() {
                    prost_types::field_descriptor_proto::Label::Repeated => "repeated ",
                    _ => "",
                };
                format!(
                    "{}.{} = {} {many}{kind}",
                    message.name(),
                    field.name(),
                    field.number()
                )
            }));
        }
        for kind in &file.enum_type {
            let values = kind.value.iter();
            lines.extend(values.map(|value| format!("{} = {}", value.name(), value.number())));
        }
        for service in &file.service {
            let package = file.package();
            lines.extend(
                service
                    .method
                    .iter()
                    .map(|method| format!("/{package}.{}/{}", service.name(), method.name())),
            );
        }
    }
    lines.sort();
    lines
}

#[test]
fn the_schema_only_grows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema.txt");
    let now = lines(&descriptors());
    let known = fs::read_to_string(&path).unwrap_or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => String::new(),
        _ => panic!("{}: {error}", path.display()),
    });
    let gone: Vec<&str> = known
        .lines()
        .filter(|line| !now.iter().any(|own| own == line))
        .collect();
    assert!(
        gone.is_empty(),
        "older consoles and apps rely on these; a change of meaning needs a new number, a removal a new major \
         (then take the lines out of tests/schema.txt): {gone:#?}"
    );
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, now.join("\n") + "\n").expect("a writable folder");
    } else {
        let new = now
            .iter()
            .filter(|line| !known.lines().any(|own| own == line.as_str()));
        assert_eq!(
            new.collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "new, but not in tests/schema.txt: run UPDATE_GENERATED=1"
        );
    }
}

#[test]
fn the_list_of_calls_names_every_call() {
    let set = descriptors();
    let calls: Vec<String> = lines(&set)
        .into_iter()
        .filter(|line| line.starts_with('/'))
        .collect();
    let mut known = loop_proto::pb::METHODS.map(str::to_owned);
    known.sort();
    assert_eq!(calls, known);
}
