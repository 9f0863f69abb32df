//! libFuzzer's wrapper of the target `key_set`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::key_set(data));
