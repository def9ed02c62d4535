#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chaincast_fuzz::protocol(data));
