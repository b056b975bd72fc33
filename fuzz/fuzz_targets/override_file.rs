#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shibudb_fuzz::override_file(data));
