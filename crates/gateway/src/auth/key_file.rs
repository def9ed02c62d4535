//! Reads files with keys.

use std::path::Path;

/// Maximum size of a key file, in bytes.
pub(super) const MAX_KEY_FILE_BYTES: u64 = 262_144;

/// Reads a file of at most [`MAX_KEY_FILE_BYTES`]; the error contains the path.
pub(super) fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_KEY_FILE_BYTES {
        return Err(format!(
            "{} is larger than {MAX_KEY_FILE_BYTES} bytes",
            path.display()
        ));
    }
    std::fs::read(path).map_err(unreadable)
}
