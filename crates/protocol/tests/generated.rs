//! docs/asyncapi.yaml, docs/realtime.d.ts and its copy in the TypeScript client are generated from the types.

use std::{env, fs, path::Path};

use chaincast_protocol::schema::{Schemas, asyncapi, typescript};

/// Run by `scripts/generate`, which sets the variable to write the files.
#[test]
fn protocol_files_are_generated() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let schemas = Schemas::new();
    for (name, text) in [
        ("docs/asyncapi.yaml", asyncapi(&schemas)),
        ("docs/realtime.d.ts", typescript(&schemas)),
        ("clients/typescript/src/protocol.ts", typescript(&schemas)),
    ] {
        let file = root.join(name);
        if env::var_os("CHAINCAST_GENERATE").is_some() {
            fs::write(&file, &text).unwrap();
        }
        let current = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            current == text,
            "{name} is not current: run `make generate`"
        );
    }
}
