//! libFuzzer's wrapper of the target `moqt_requests`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::moqt_requests(data));
