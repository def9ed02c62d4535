//! docs/asyncapi.yaml and docs/realtime.d.ts are generated from the types.

use std::{env, fs, path::Path};

use chaincast_protocol::schema::{Schemas, asyncapi, typescript};

/// Run by `scripts/generate`, which sets the variable to write the files.
#[test]
fn protocol_files_are_generated() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let schemas = Schemas::new();
    for (name, text) in [
        ("asyncapi.yaml", asyncapi(&schemas)),
        ("realtime.d.ts", typescript(&schemas)),
    ] {
        let file = docs.join(name);
        if env::var_os("CHAINCAST_GENERATE").is_some() {
            fs::write(&file, &text).unwrap();
        }
        let current = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            current == text,
            "docs/{name} is not current: run `make generate`"
        );
    }
}
