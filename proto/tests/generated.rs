//! The committed code under `src/generated` is what the schema under `proto/` generates. Knows
//! nothing of what the messages mean. `UPDATE_GENERATED=1 cargo test -p loop-proto --test generated`
//! writes it anew.

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
