//! libFuzzer's wrapper of the target `command`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::command(data));
