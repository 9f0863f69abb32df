//! libFuzzer's wrapper of the target `handshake`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::handshake(data));
