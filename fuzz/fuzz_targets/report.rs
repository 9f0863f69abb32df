//! libFuzzer's wrapper of the target `report`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::report(data));
