//! Pure codecs of the two Socket.IO protocols: Engine.IO 4 carries packets over polling or WebSocket; Socket.IO 5 adds
//! namespaces, events and acknowledgements.
//!
//! Their work is bounded by the size of the message, and no input makes them panic.

pub mod engine;
pub mod packet;
