//! libFuzzer's wrapper of the target `name`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::name(data));
