//! libFuzzer's wrapper of the target `hang_catalog`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::hang_catalog(data));
