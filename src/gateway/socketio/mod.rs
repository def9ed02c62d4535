//! The two protocols that Socket.IO clients speak, as pure codecs: Engine.IO 4 carries packets over polling or a
//! websocket, Socket.IO 5 puts namespaces, events and acknowledgements into them.
//!
//! Both are bounded by the size of the message they are given, and no input makes them panic.

pub mod engine;
pub mod packet;
