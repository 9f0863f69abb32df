//! libFuzzer's wrapper of the target `chunk`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::chunk(data));
