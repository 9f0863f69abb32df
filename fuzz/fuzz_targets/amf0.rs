//! libFuzzer's wrapper of the target `amf0`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::amf0(data));
