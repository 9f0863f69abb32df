//! libFuzzer's wrapper of the target `datagram`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::datagram(data));
