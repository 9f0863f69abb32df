//! libFuzzer's wrapper of the target `credentials`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::credentials(data));
