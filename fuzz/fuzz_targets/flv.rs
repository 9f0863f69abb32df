//! libFuzzer's wrapper of the target `flv`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::flv(data));
