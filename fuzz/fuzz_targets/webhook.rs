//! libFuzzer's wrapper of the target `webhook`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::webhook(data));
