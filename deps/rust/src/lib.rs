//! The C ABI of quern_deps.h. Everything that crosses it is bytes with a length; a panic inside becomes an error result.

mod abi;
mod grammar;
mod json;
mod python;
mod template;
