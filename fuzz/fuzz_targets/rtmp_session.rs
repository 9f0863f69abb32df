//! libFuzzer's wrapper of the target `rtmp_session`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::rtmp_session(data));
