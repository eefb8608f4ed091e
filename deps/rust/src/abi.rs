//! Bytes in, bytes out, and no unwinding into C++.

use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::slice;

/// Outcome codes; the numbers are part of quern_deps.h.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Ok = 0,
    /// The template, grammar or input is wrong.
    Invalid = 1,
    /// A limit was reached; the message names it.
    Limit = 2,
    /// A bug on this side of the border.
    Internal = 3,
}

/// Bytes owned by this library until `quern_text_free`.
#[repr(C)]
pub struct Text {
    data: *mut u8,
    size: usize,
    capacity: usize,
}

impl Text {
    pub fn new(text: String) -> Text {
        let mut bytes = std::mem::ManuallyDrop::new(text.into_bytes());
        Text {
            data: bytes.as_mut_ptr(),
            size: bytes.len(),
            capacity: bytes.capacity(),
        }
    }
}

/// What every fallible call returns: text is the output on success, the message otherwise.
#[repr(C)]
pub struct Outcome {
    code: Code,
    line: u32,
    text: Text,
}

pub struct Failure {
    pub code: Code,
    pub line: u32,
    pub message: String,
}

impl Failure {
    pub fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure {
            code,
            line: 0,
            message: message.into(),
        }
    }
}

impl Outcome {
    fn from_result(result: Result<String, Failure>) -> Outcome {
        match result {
            Ok(text) => Outcome {
                code: Code::Ok,
                line: 0,
                text: Text::new(text),
            },
            Err(failure) => Outcome {
                code: failure.code,
                line: failure.line,
                text: Text::new(failure.message),
            },
        }
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let what = payload
        .downcast_ref::<&str>()
        .map(|text| text.to_string())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown".to_string());
    format!("internal failure: {what}")
}

/// Runs body; a panic becomes an Internal outcome.
pub fn guard(body: impl FnOnce() -> Result<String, Failure>) -> Outcome {
    Outcome::from_result(match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(payload) => Err(Failure::new(Code::Internal, panic_message(&*payload))),
    })
}

/// # Safety
/// data points at size readable bytes, or size is 0.
pub unsafe fn bytes<'a>(data: *const u8, size: usize) -> &'a [u8] {
    if size == 0 {
        &[]
    } else {
        slice::from_raw_parts(data, size)
    }
}

/// # Safety
/// As `bytes`.
pub unsafe fn utf8<'a>(data: *const u8, size: usize, what: &str) -> Result<&'a str, Failure> {
    std::str::from_utf8(bytes(data, size)).map_err(|e| {
        Failure::new(
            Code::Invalid,
            format!("{what} is not UTF-8 at byte {}", e.valid_up_to()),
        )
    })
}

/// # Safety
/// text came from this library and was not freed before.
#[no_mangle]
pub unsafe extern "C" fn quern_text_free(text: Text) {
    if !text.data.is_null() {
        drop(Vec::from_raw_parts(text.data, text.size, text.capacity));
    }
}

/// The hook keeps panics, which `guard` reports, off stderr. Called once.
pub fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
}
