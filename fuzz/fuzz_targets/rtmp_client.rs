//! libFuzzer's wrapper of the target `rtmp_client`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::rtmp_client(data));
