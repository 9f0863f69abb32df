//! libFuzzer's wrapper of the target `fetch_stream`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::fetch_stream(data));
