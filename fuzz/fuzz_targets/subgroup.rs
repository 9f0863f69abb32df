//! libFuzzer's wrapper of the target `subgroup`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::subgroup(data));
